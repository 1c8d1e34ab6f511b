"""`berth down`."""

import asyncio
import os
import signal

import click
from rich.console import Console

from berth_api.errors import BerthError
from berth_cli.laptop.client import connect
from berth_cli.laptop.detach import end_instance
from berth_cli.laptop.home import InstanceRecord, RunFolder
from berth_cli.show.lines import say
from berth_cli.show.screen import LineScreen
from berth_store.home import default_home


@click.command()
@click.option(
    "-t",
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="End it hard if it has not stopped by then.",
)
def command(timeout_seconds: float) -> int:
    """Stop what `berth up` serves, and wait until it is gone. Requests in flight may end first, for a few seconds."""
    run = RunFolder(default_home())
    console = Console()
    record = run.running()
    if record is None:
        say(console, "No berth is running.")
        return 0
    return asyncio.run(_stop(run, record, console, timeout_seconds))


async def _stop(run: RunFolder, record: InstanceRecord, console: Console, timeout_seconds: float) -> int:
    say(console, f"Stopping {record.address} (process {record.pid}).")
    ending = asyncio.create_task(end_instance(record, run, seconds=timeout_seconds))
    telling = asyncio.create_task(_tell(record, console))
    by_itself = await ending
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    say(console, "Stopped." if by_itself else f"It did not stop within {timeout_seconds:g} s and was ended.")
    return 0


async def _tell(record: InstanceRecord, console: Console) -> None:
    """Asks over the control socket, and by a signal where that does not answer."""
    try:
        async with connect(record) as conversation:
            await conversation.stop()
            lines: LineScreen | None = None
            async for view in conversation.views():
                lines = lines or LineScreen(console, before=view)
                lines.show(view)
    except BerthError:
        os.kill(record.pid, signal.SIGTERM)
