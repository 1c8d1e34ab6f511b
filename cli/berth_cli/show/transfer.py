"""The progress of one pull, push or package: a bar on a terminal, a line for each tenth anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import (
    Progress as Bars,
)

from berth_cli.show.quantity import bytes_text
from berth_cli.show.screen import say
from berth_store.progress import Progress, Report, Stage


@contextmanager
def transfer_screen(console: Console) -> Iterator[Report]:
    """Gives the function that `berth_store` reports to; what was shown last stays on the screen."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield LineReport(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bars(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console) as bars:
        yield BarReport(bars)


class BarReport:
    """Moves one bar."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = bars.add_task("Resolving", total=None)

    def __call__(self, moment: Progress) -> None:
        """Draws a moment."""
        done = moment.stage is Stage.DONE
        self._bars.update(
            self._task,
            description=moment.stage.value,
            completed=moment.bytes_total if done else moment.bytes_done,
            total=moment.bytes_total or None,
        )


class LineReport:
    """Prints a line for each new stage and each further tenth."""

    def __init__(self, console: Console) -> None:
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
