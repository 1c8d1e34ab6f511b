"""`berth push`."""

from pathlib import Path

import click

from berth_cli.arguments import REFERENCE
from berth_cli.show.lines import open_console
from berth_cli.signing import read_signer, sign_options
from berth_cli.transfer import push_shown
from berth_store.reference import Reference


@click.command()
@click.argument("reference", type=REFERENCE)
@sign_options
def command(reference: Reference, sign_key: Path | None, sign_certificate: Path | None) -> None:
    """Send an artifact of this machine's store to the registry that its name begins with.

    Credentials are those of `docker login`. What the registry has already is not sent again. The artifact's signatures
    go along, also those that it was packaged or pulled with.
    """
    push_shown(reference, open_console(), read_signer(sign_key, sign_certificate))
