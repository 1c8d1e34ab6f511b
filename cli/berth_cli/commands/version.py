"""`berth version`."""

import platform

import click

from berth_cli.release import berth_version


@click.command()
def command() -> None:
    """Show the version of Berth, and of the Python and system under it."""
    click.echo(
        f"berth {berth_version()} (Python {platform.python_version()}, {platform.system()} {platform.machine()})"
    )
