"""Hands manifests to a running instance and shows what becomes of them: a second `berth up`, and `berth up -d`."""

from dataclasses import dataclass

from rich.console import Console

from berth_cli.laptop.client import connect
from berth_cli.laptop.detach import end_instance, start_detached
from berth_cli.laptop.home import InstanceRecord, RunFolder
from berth_cli.laptop.present import End, Outcome, conclude, present
from berth_cli.manifests.source import Source
from berth_cli.show.lines import say

STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Handover:
    """Manifests on their way to an instance in another process."""

    sources: tuple[Source, ...]
    console: Console
    version: str
    timeout_seconds: float | None

    async def to_running(self, record: InstanceRecord) -> int:
        """Applies them to an instance that runs; the exit code."""
        say(
            self.console,
            f"A berth runs already at {record.address} (process {record.pid}); it takes the manifests over.",
        )
        return (await self._apply(record)).exit_code

    async def to_new(self, run: RunFolder, host: str, port: int) -> int:
        """Starts a detached instance and applies them to it; it is ended again if nothing can be served."""
        record = await start_detached(run, host, port)
        outcome = await self._apply(record)
        if outcome.is_hopeless:
            async with connect(record) as conversation:
                await conversation.stop()
            await end_instance(record, run, seconds=STOP_SECONDS)
        return outcome.exit_code

    async def _apply(self, record: InstanceRecord) -> Outcome:
        async with connect(record) as conversation:
            revision = await conversation.apply(self.sources, self.version)
            outcome = await present(conversation.views(), self.console, revision, timeout_seconds=self.timeout_seconds)
        conclude(outcome, self.console, detached=True, timeout_seconds=self.timeout_seconds)
        if outcome.end is End.TIMED_OUT:
            say(self.console, "It goes on in the background; `berth down` stops it.")
        if outcome.end is End.STOPPING:
            say(self.console, "The berth that runs is stopping; nothing of this is served.")
        return outcome
