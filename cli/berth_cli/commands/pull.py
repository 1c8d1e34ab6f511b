"""`berth pull`."""

import click
from rich.console import Console

from berth_cli.arguments import REFERENCE
from berth_cli.transfer import pull_shown
from berth_store.reference import Reference


@click.command()
@click.argument("reference", type=REFERENCE)
def command(reference: Reference) -> None:
    """Fetch an artifact into this machine's store, or renew it. An interrupted pull goes on where it was."""
    pull_shown(reference, Console())
