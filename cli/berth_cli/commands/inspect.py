"""`berth inspect`."""

import asyncio
import tempfile
from pathlib import Path

import click

from berth_cli.arguments import NAME, choosing
from berth_cli.show.description import render_description, render_openai
from berth_store.inspection.description import Description
from berth_store.local import Store
from berth_store.sources.address import Name


@click.command()
@click.argument("name", metavar="NAME", type=NAME)
@click.option("-r", "--remote", is_flag=True, help="Ask the registry or source; only headers of the files are fetched.")
@click.option("--files", multiple=True, metavar="PATTERN", help="Only the files that match; may be repeated.")
@click.option("--openai", "as_openai", is_flag=True, help="Print it as an entry of /v1/models.")
def command(*, name: Name, remote: bool, files: tuple[str, ...], as_openai: bool) -> None:
    """Show what an artifact is as JSON: of this machine's store or, with --remote, where it lies.

    NAME is a reference such as ghcr.io/team/model:1, or hf://organisation/model, https://host/model.gguf,
    s3://bucket/folder; of this machine's store also an id that `berth list` shows.
    """
    wanted = choosing(name, files)
    description = _inspect_remote(wanted) if remote else _inspect_stored(wanted)
    click.echo(render_openai(description) if as_openai else render_description(description))


def _inspect_stored(name: Name) -> Description:
    from berth_store.inspection.stored import inspect_stored  # noqa: PLC0415 - only one of the two is needed

    return inspect_stored(Store(), name)


def _inspect_remote(name: Name) -> Description:
    from berth_store.inspection.remote import inspect_remote  # noqa: PLC0415 - as above
    from berth_store.registries import RegistryConfig  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="berth-", ignore_cleanup_errors=True) as scratch:
        return asyncio.run(inspect_remote(name, registries=RegistryConfig.from_environment(), scratch=Path(scratch)))
