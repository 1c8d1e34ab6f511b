"""`berth list`."""

from datetime import UTC, datetime

import click

from berth_cli.show.models import render_ids, render_json, render_models
from berth_store.local import Store


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object for each artifact.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the ids.")
def command(*, as_json: bool, quiet: bool) -> None:
    """List the artifacts in this machine's store."""
    if as_json and quiet:
        raise click.UsageError("--json and --quiet exclude each other")
    models = Store().list()
    if as_json:
        click.echo(render_json(models))
    elif quiet:
        click.echo(render_ids(models), nl=False)
    else:
        click.echo(render_models(models, datetime.now(UTC)), nl=False)
