"""Progress until all that can be Ready is, for every way to `berth up`: foreground, detached, handed over."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console

from berth_cli.failure import FAILED
from berth_cli.laptop.view import View
from berth_cli.show.lines import say
from berth_cli.show.progress import summary, waiting_text, what_to_try
from berth_cli.show.screen import open_screen


class End(StrEnum):
    """Why the presentation ended."""

    SETTLED = "Settled"
    STOPPING = "Stopping"
    TIMED_OUT = "TimedOut"


@dataclass(frozen=True)
class Outcome:
    """How it ended, and the last view."""

    end: End
    view: View

    @property
    def exit_code(self) -> int:
        """0 if every Model is Ready or meant to be suspended."""
        return 0 if self.end is End.SETTLED and not self.view.failed else FAILED

    @property
    def is_hopeless(self) -> bool:
        """Whether there are Models and none of them answers."""
        return self.end is End.SETTLED and bool(self.view.failed) and not self.view.ready


async def present(
    views: AsyncIterator[View], console: Console, revision: int, *, timeout_seconds: float | None = None
) -> Outcome:
    """Shows the views that speak of `revision` or a later one, until they settle, stop, or time is up."""
    last = View()
    screen = open_screen(console)
    try:
        async with asyncio.timeout(timeout_seconds):
            async for view in views:
                last = view
                screen.show(view)
                if view.stopping:
                    return Outcome(End.STOPPING, view)
                if view.revision >= revision and view.settled:
                    return Outcome(End.SETTLED, view)
    except TimeoutError:
        return Outcome(End.TIMED_OUT, last)
    finally:
        screen.close()
    return Outcome(End.STOPPING, last)


def conclude(outcome: Outcome, console: Console, *, detached: bool, timeout_seconds: float | None) -> None:
    """Says how it ended, and what to try."""
    if outcome.end is End.TIMED_OUT:
        say(console, f"Not Ready within {timeout_seconds:g} s: {waiting_text(outcome.view)}")
    if outcome.end is End.SETTLED:
        say(console, "\n" + summary(outcome.view))
        if outcome.view.ready:
            say(console, "\n" + what_to_try(outcome.view, detached=detached))
