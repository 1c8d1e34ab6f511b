"""`berth push`."""

import click

from berth_cli.arguments import REFERENCE
from berth_cli.show.lines import open_console
from berth_cli.transfer import push_shown
from berth_store.reference import Reference


@click.command()
@click.argument("reference", type=REFERENCE)
def command(reference: Reference) -> None:
    """Send an artifact of this machine's store to the registry that its name begins with.

    Credentials are those of `docker login`. What the registry has already is not sent again.
    """
    push_shown(reference, open_console())
