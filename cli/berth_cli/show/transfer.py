"""The progress of one pull, push or package: a bar on a terminal, a line for each tenth anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from berth_cli.show.lines import Lines, say
from berth_cli.show.quantity import bytes_text
from berth_store.progress import Progress, Report, Stage

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def transfer_screen(console: "Console | Lines") -> Iterator[Report]:
    """Gives the function that `berth_store` reports to; what was shown last stays on the screen."""
    if isinstance(console, Lines) or not console.is_terminal or console.is_dumb_terminal:
        yield LineReport(console)
        return
    from berth_cli.show.bars import transfer_bar  # noqa: PLC0415 - it brings rich, see `berth_cli.show.lines`

    with transfer_bar(console) as report:
        yield report


class LineReport:
    """Prints a line for each new stage and each further tenth."""

    def __init__(self, console: "Console | Lines") -> None:
        self._console = console
        self._said: tuple[Stage, int] | None = None

    def __call__(self, moment: Progress) -> None:
        """Prints a moment, if it says anything new."""
        tenth = 10 * moment.bytes_done // moment.bytes_total if moment.bytes_total else 0
        if moment.stage is Stage.DONE or (moment.stage, tenth) == self._said:
            return
        self._said = (moment.stage, tenth)
        say(self._console, moment_text(moment))


def moment_text(moment: Progress) -> str:
    """`Fetching 41.0MB of 98.3MB (41 %)`."""
    if not moment.bytes_total:
        return moment.stage.value
    percent = 100 * moment.bytes_done // moment.bytes_total
    return f"{moment.stage} {bytes_text(moment.bytes_done)} of {bytes_text(moment.bytes_total)} ({percent} %)"
