"""`berth package`."""

from pathlib import Path

import click

from berth_api.artifact import Task
from berth_cli.arguments import REFERENCE
from berth_cli.show.lines import open_console, say
from berth_cli.show.transfer import transfer_screen
from berth_cli.signing import read_signer, sign_options
from berth_cli.transfer import Interrupted, push_shown, sign_shown
from berth_store.local import Store
from berth_store.package import package
from berth_store.packing import Extras, PackageFormat
from berth_store.reference import Reference

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
# `cncf` is Docker's word for ModelPack.
_FORMATS = {**{each.value: each for each in PackageFormat}, "cncf": PackageFormat.MODELPACK}
_TASKS = [task.value for task in Task]
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("path_or_name", metavar="PATH | NAME", required=False)
@click.option("-t", "--tag", type=REFERENCE, help="Name of the artifact, such as localhost/mine:1.")
@click.option("--gguf", type=_FILE, help="GGUF file; the first of several parts is enough. Then NAME is the argument.")
@click.option("--safetensors-dir", type=_FOLDER, help="Folder of a model. Then NAME is the argument.")
@click.option("-l", "--license", "licenses", multiple=True, type=_FILE, help="License file. May be repeated.")
@click.option("--chat-template", type=_FILE, help="Jinja template in place of the model's own.")
@click.option("--mmproj", type=_FILE, help="Multimodal projector (GGUF) that belongs to the model.")
@click.option("--adapter", type=_FILE, help="LoRA adapter (GGUF) to go with it.")
@click.option(
    "--format",
    "package_format",
    type=click.Choice(list(_FORMATS)),
    default=PackageFormat.DOCKER.value,
    help="Docker's model format, or ModelPack of the CNCF.",
)
@click.option("--context-length", "--context-size", type=click.IntRange(min=1), help="Tokens to serve it with.")
@click.option(
    "--task", type=click.Choice(_TASKS), default=Task.AUTO.value, help="What it does, if its files don't say."
)
@sign_options
@click.option("--push", is_flag=True, help="Send it to its registry afterwards.")
def command(
    *,
    path_or_name: str | None,
    tag: Reference | None,
    gguf: Path | None,
    safetensors_dir: Path | None,
    licenses: tuple[Path, ...],
    chat_template: Path | None,
    mmproj: Path | None,
    adapter: Path | None,
    package_format: str,
    context_length: int | None,
    task: str,
    sign_key: Path | None,
    sign_certificate: Path | None,
    push: bool,
) -> None:
    """Make an artifact of a model's or adapter's files and keep it in this machine's store, in a published format.

    \b
    berth package ./model.gguf --tag localhost/mine:1
    berth package ./folder --tag ghcr.io/me/mine:1 --push
    berth package ./folder --tag ghcr.io/me/mine:1 --format modelpack
    berth package ./folder --tag ghcr.io/me/mine:1 --sign-key key.pem --push
    berth package ./sql-lora.gguf --tag ghcr.io/me/sql:1     for `spec.adapters`
    berth package --gguf ./model.gguf ghcr.io/me/mine:1      as with `docker model package`
    """
    path, reference = _choose(path_or_name, tag, gguf or safetensors_dir, both=bool(gguf and safetensors_dir))
    console, signer = open_console(), read_signer(sign_key, sign_certificate)
    try:
        with transfer_screen(console) as progress:
            digest = package(
                Store(),
                path,
                reference,
                extras=Extras(licenses, chat_template, projector=mmproj, adapter=adapter),
                package_format=_FORMATS[package_format],
                context_length=context_length,
                task=Task(task),
                progress=progress,
            )
    except KeyboardInterrupt:
        raise Interrupted("interrupted.\nNothing was named; run the same command again.") from None
    say(console, f"{reference.familiar}: {digest}")
    if signer is not None:
        sign_shown(reference, signer, console)
    if push:
        push_shown(reference, console)


def _choose(argument: str | None, tag: Reference | None, given: Path | None, *, both: bool) -> tuple[Path, Reference]:
    """The path and the name, in either spelling. Raises `click.UsageError`."""
    if both:
        raise click.UsageError("--gguf and --safetensors-dir exclude each other")
    if given is None:
        if argument is None:
            raise click.UsageError("Missing argument 'PATH': which file or folder is to be packaged?")
        if tag is None:
            raise click.UsageError("Missing option '-t' / '--tag': what is the artifact to be called?")
        return Path(argument), tag
    if (argument is None) == (tag is None):
        raise click.UsageError("give the artifact one name, as the argument or with --tag")
    return given, tag or Reference.parse(argument or "")
