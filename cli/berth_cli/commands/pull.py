"""`berth pull`."""

from pathlib import Path

import click

from berth_cli.arguments import NAME, choosing
from berth_cli.show.lines import open_console
from berth_cli.signing import read_demand, verify_options
from berth_cli.transfer import pull_shown
from berth_store.sources.address import Name


@click.command()
@click.argument("name", metavar="NAME", type=NAME)
@click.option("--files", multiple=True, metavar="PATTERN", help="Only the files that match; may be repeated.")
@verify_options
def command(
    *,
    name: Name,
    files: tuple[str, ...],
    verify_key: Path | None,
    verify_authority: Path | None,
    verify_signer: tuple[str, ...],
) -> None:
    """Fetch a model into this machine's store, or renew it. An interrupted pull goes on where it was.

    NAME is a reference such as ghcr.io/team/model:1, or hf://organisation/model, https://host/model.gguf,
    s3://bucket/folder.
    """
    pull_shown(choosing(name, files), open_console(), read_demand(verify_key, verify_authority, verify_signer))
