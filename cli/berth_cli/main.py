"""The commands of `berth` and `kubectl model`: the table of contents. Each command is a file in `berth_cli.commands`.

A command's module is imported when it is called, so that `berth --help` and `berth list` stay quick and need only what
they use.
"""

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import click

from berth_api.errors import BerthError
from berth_cli.failure import FAILED, INTERRUPTED, exit_code_of, failure_block

COMMANDS = {
    "up": "Serve the Models of manifests on this machine.",
    "down": "Stop what `berth up` serves.",
    "package": "Make an artifact of a model's files.",
    "push": "Send an artifact to a registry.",
    "pull": "Fetch an artifact into this machine's store.",
    "list": "List the artifacts in this machine's store.",
    "inspect": "Show what an artifact is, here or where it lies.",
    "version": "Show the version.",
}

_EPILOG = 'Completion for your shell: eval "$(_BERTH_COMPLETE=bash_source berth)" (or zsh_source, fish_source).'


class Commands(click.Group):
    """A group that imports a command only when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command = _import_all_of(f"berth_cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Serve machine-learning models behind one OpenAI address, on this machine and on Kubernetes alike."""


def _import_all_of(module: str) -> ModuleType:
    """A module and what it needs. Nothing of that is garbage, and looking for some is a twentieth of the time."""
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def missing_package(name: str) -> BerthError:
    """What an installation without all extras says."""
    return BerthError(
        f"this needs the Python package {name}, which is not installed.\n"
        "Install Berth with all that a laptop needs: pip install 'berth[laptop]'"
    )


def main() -> NoReturn:
    """The entry point of both programs. Ends the process; exit codes are those of `berth_cli.failure`."""
    _leave(run(sys.argv[1:], Path(sys.argv[0]).name))


def _leave(code: int) -> NoReturn:
    """End the process now. Python would free all it holds piece by piece, which takes a tenth of a small pull."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        # Python itself ends so where its last words can't be written.
        os._exit(120)
    os._exit(code)


def run(arguments: list[str], program: str) -> int:
    """Runs one command line and returns its exit code; errors are shown on stderr."""
    is_plugin = program.startswith("kubectl-model")
    complete_var = "_KUBECTL_MODEL_COMPLETE" if is_plugin else "_BERTH_COMPLETE"
    # A shell completes the program that it starts; people type `kubectl model`.
    shown = "kubectl model" if is_plugin and complete_var not in os.environ else program if is_plugin else "berth"
    try:
        code = cli.main(arguments, prog_name=shown, complete_var=complete_var, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python would complain once more at exit.
        sys.stdout = None
        return 0
    except (BerthError, OSError) as error:
        click.echo(failure_block(error), err=True)
        return exit_code_of(error)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("berth_cli"):
            raise
        click.echo(failure_block(missing_package(error.name)), err=True)
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return code if isinstance(code, int) else 0
