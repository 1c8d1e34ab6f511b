"""`berth up`."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import click
from rich.console import Console

from berth_api.errors import BerthError
from berth_cli.arguments import HOST
from berth_cli.failure import INTERRUPTED
from berth_cli.laptop.handover import Handover
from berth_cli.laptop.home import InstanceRecord, RunFolder
from berth_cli.laptop.service import check_for_laptop
from berth_cli.laptop.settings import UpSettings
from berth_cli.laptop.work import Background, Foreground
from berth_cli.manifests.read import read_manifests
from berth_cli.manifests.source import Source, open_sources, read_source
from berth_cli.release import berth_version
from berth_store.home import default_home

_FILES = "Manifest, folder of manifests, or - for standard input. May be repeated."


@click.command()
@click.option("-f", "--filename", "files", multiple=True, metavar="FILE", help=_FILES)
@click.option("-d", "--detach", is_flag=True, help="Return when all is Ready; `berth down` stops it.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    envvar="BERTH_PORT",
    default=8080,
    show_envvar=True,
    show_default=True,
    help="Port of the OpenAI address.",
)
@click.option("--host", type=HOST, default="127.0.0.1", show_default=True, help="IP address to listen on.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up waiting for Ready after this time.",
)
@click.option("--background", is_flag=True, hidden=True)
@click.pass_context
def command(
    context: click.Context,
    *,
    files: tuple[str, ...],
    detach: bool,
    port: int,
    host: str,
    timeout_seconds: float | None,
    background: bool,
) -> int:
    """Serve the Models of manifests on this machine, behind one OpenAI address.

    The files are watched: an edit takes effect at once, and what serves is kept until its replacement answers. If a
    berth runs already (for this BERTH_HOME), the manifests are handed to it, as `kubectl apply` would.

    Exit codes: 0 all Models were Ready; 1 one was not, or it could not begin; 2 wrong usage or an invalid manifest;
    130 ended by Ctrl-C.
    """
    settings = UpSettings(home=default_home(), host=host, port=port, version=berth_version())
    run = RunFolder(settings.home)
    console = Console()
    if background:
        return _hold(run, settings, Background(console))
    sources = _read(files, context)
    handover = Handover(sources, console, settings.version, timeout_seconds)
    if (record := run.running()) is not None:
        _refuse_another_address(context, settings, record)
        return _wait(handover.to_running(record), console)
    if detach:
        return _wait(handover.to_new(run, host, port), console)
    return _hold(run, settings, Foreground(sources, console, timeout_seconds=timeout_seconds))


def _read(files: tuple[str, ...], context: click.Context) -> tuple[Source, ...]:
    """The sources, all of which can be used. Raises `InvalidManifests`."""
    if not files:
        raise click.UsageError("Missing option '-f' / '--filename': which manifests are to be served?", context)
    sources = open_sources(files)
    read_manifests([text for source in sources for text in read_source(source)], check=check_for_laptop)
    return sources


def _refuse_another_address(context: click.Context, settings: UpSettings, record: InstanceRecord) -> None:
    given = {name for name in ("host", "port") if _is_on_command_line(context, name)}
    if given and record.address != settings.address:
        raise BerthError(
            f"a berth runs already at {record.address} (process {record.pid}), not at {settings.address}.\n"
            "Stop it first with `berth down`, or set BERTH_HOME to another folder to run a second one."
        )


def _is_on_command_line(context: click.Context, parameter: str) -> bool:
    return context.get_parameter_source(parameter) is click.core.ParameterSource.COMMANDLINE


def _hold(run: RunFolder, settings: UpSettings, work: Foreground | Background) -> int:
    # Loads gRPC and Envoy's types, a second's work that who only hands manifests over can do without.
    from berth_cli.laptop.run import run_instance  # noqa: PLC0415

    # Never closed: whoever waits for the lock, as `berth down` does, waits for the end of this process.
    if run.lock() is None:
        raise BerthError("another berth has just been started here; run the same command again")
    try:
        return asyncio.run(run_instance(settings, work))
    except asyncio.CancelledError:
        return INTERRUPTED


def _wait(handover: Coroutine[Any, Any, int], console: Console) -> int:
    try:
        return asyncio.run(handover)
    except KeyboardInterrupt:
        console.print("\nIt goes on in the background; `berth down` stops it.", markup=False, highlight=False)
        return INTERRUPTED
