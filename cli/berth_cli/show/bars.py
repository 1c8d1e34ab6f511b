"""The bar of a transfer on a terminal. Only `berth_cli.show.transfer` imports it, when there is one."""

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

from berth_store.progress import Progress, Report, Stage


@contextmanager
def transfer_bar(console: Console) -> Iterator[Report]:
    """Gives what moves the bar; it stays on the screen as it was last."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bars(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console) as bars:
        yield _BarReport(bars)


class _BarReport:
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
