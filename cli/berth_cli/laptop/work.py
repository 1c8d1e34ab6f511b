"""What runs beside an instance: in a terminal a presentation for people, detached a log."""

import asyncio

from rich.console import Console

from berth_api.errors import BerthError
from berth_cli.failure import FAILED, INTERRUPTED, exit_code_of, failure_block
from berth_cli.laptop.present import End, conclude, present
from berth_cli.laptop.service import InstanceService
from berth_cli.manifests.source import Source
from berth_cli.show.lines import say
from berth_cli.show.screen import LineScreen


class Foreground:
    """The work beside a foreground instance, see `berth_cli.laptop.run.run_instance`."""

    def __init__(self, sources: tuple[Source, ...], console: Console, *, timeout_seconds: float | None) -> None:
        self._sources = sources
        self._console = console
        self._timeout_seconds = timeout_seconds

    async def __call__(self, service: InstanceService) -> int:
        """Returns when the instance stops, or should: because nothing can be served, or time is up."""
        try:
            revision = service.apply(self._sources)
        except BerthError as error:  # They were good a moment ago; somebody edits them right now.
            say(Console(stderr=True), failure_block(error))
            return exit_code_of(error)
        outcome = await present(service.views.follow(), self._console, revision, timeout_seconds=self._timeout_seconds)
        conclude(outcome, self._console, detached=False, timeout_seconds=self._timeout_seconds)
        if outcome.end is End.TIMED_OUT or outcome.is_hopeless:
            return FAILED
        last = outcome.view
        lines = LineScreen(self._console, before=last, clock=True)
        async for view in service.views.follow():
            if view.stopping:
                break
            lines.show(view)
            last = view
        say(self._console, "Stopping: what is in flight may end within 10 s; Ctrl-C again ends it at once.")
        if outcome.end is End.STOPPING:
            return INTERRUPTED
        return FAILED if last.failed else 0


class Background:
    """The work beside a detached instance: what changes is written to its log; a client shows it to people."""

    def __init__(self, console: Console, *, patience_seconds: float = 60.0) -> None:
        self._console = console
        self._patience_seconds = patience_seconds

    async def __call__(self, service: InstanceService) -> int:
        """Returns when the instance stops, or if nobody hands it any manifests."""
        lines = LineScreen(self._console, clock=True)
        try:
            async with asyncio.timeout(self._patience_seconds) as patience:
                async for view in service.views.follow():
                    if view.stopping:
                        break
                    if service.has_sources:
                        patience.reschedule(None)
                    lines.show(view)
        except TimeoutError:
            say(self._console, f"Nobody handed over any manifests within {self._patience_seconds:g} s.")
            return FAILED
        return 0
