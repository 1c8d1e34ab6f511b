"""`berth pull`."""

import click
from rich.console import Console

from berth_cli.arguments import REFERENCE
from berth_cli.show.screen import say
from berth_cli.show.transfer import transfer_screen
from berth_cli.transfer import run_transfer
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig


@click.command()
@click.argument("reference", type=REFERENCE)
def command(reference: Reference) -> None:
    """Fetch an artifact into this machine's store, or renew it. An interrupted pull goes on where it was."""
    console = Console()
    with transfer_screen(console) as progress:
        digest = run_transfer(
            pull(Store(), reference, registries=RegistryConfig.from_environment(), progress=progress),
            interrupted=f"What was fetched is kept: `berth pull {reference.familiar}` goes on from there.",
        )
    say(console, f"{reference.familiar}: {digest}")
