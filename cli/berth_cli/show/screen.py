"""Where progress is shown: a live table on a terminal, plain lines anywhere else."""

from datetime import datetime
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from berth_cli.laptop.view import ModelStage, ModelView, View
from berth_cli.show.lines import say
from berth_cli.show.progress import changes, failure_text, rejected_text, stage_text

_COLOURS = {ModelStage.READY: "green", ModelStage.FAILED: "red", ModelStage.SUSPENDED: "dim"}


class Screen(Protocol):
    """Takes each view as it comes; `close` leaves what was shown in place and begins plain output."""

    def show(self, view: View) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


def open_screen(console: Console) -> Screen:
    """The screen that suits the console."""
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else LineScreen(console)


class LineScreen:
    """One line for each change; with `clock`, the time of day before it."""

    def __init__(self, console: Console, *, before: View | None = None, clock: bool = False) -> None:
        self._console = console
        self._before = before or View()
        self._clock = clock

    def show(self, view: View) -> None:
        """Prints what is new."""
        for line in changes(self._before, view):
            time = f"{datetime.now():%H:%M:%S} " if self._clock else ""
            say(self._console, time + line)
        self._before = view

    def close(self) -> None:
        """Nothing to end."""


class LiveScreen:
    """A table with a line for each Model, drawn anew in place; failures and notes are printed above it and stay."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before = View()
        self._live = Live(console=console, refresh_per_second=8, transient=False)
        self._live.start()

    def show(self, view: View) -> None:
        """Draws the view."""
        for text in _lasting(self._before, view):
            say(self._console, text)
        self._before = view
        self._live.update(progress_table(view))

    def close(self) -> None:
        """Leaves the last table in place."""
        self._live.stop()


def progress_table(view: View) -> Table:
    """The table of the Models and what each does."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(no_wrap=True, overflow="ellipsis")
    for model in view.models:
        table.add_row(f"[bold]{escape(model.title)}[/]", _cell(model))
    return table


def _cell(model: ModelView) -> str:
    colour = _COLOURS.get(model.stage, "yellow")
    return f"[{colour}]{escape(stage_text(model).replace(chr(10), '; '))}[/]"


def _lasting(before: View, after: View) -> list[str]:
    known = {model.key: model.failure for model in before.models}
    notes = [f"note: {note}" for note in after.notes if note not in before.notes]
    failures = [failure_text(one) for one in after.models if one.failure and known.get(one.key) != one.failure]
    rejected = [rejected_text(after)] if after.rejected not in {"", before.rejected} else []
    trouble = [after.trouble] if after.trouble not in {"", before.trouble} else []
    return notes + failures + rejected + trouble
