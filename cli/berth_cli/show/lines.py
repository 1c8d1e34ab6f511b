"""Lines of text and where they go: `say`, and the console of commands that have nothing else to show.

Importing rich takes as long as fetching fifty small files, so where there is no terminal, as in pods and scripts, such
commands go without.
"""

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

# With one of these rich takes anything for a terminal.
_FORCED = ("FORCE_COLOR", "TTY_COMPATIBLE")


class Lines:
    """Standard output that is no terminal: as much of rich's console as `say` and `transfer_screen` use."""

    is_terminal = False
    is_dumb_terminal = False

    def print(self, text: str, **_: object) -> None:
        """Prints a line as it is."""
        click.echo(text)


def open_console() -> "Console | Lines":
    """Standard output, as rich's console if it is a terminal."""
    if not sys.stdout.isatty() and not any(map(os.environ.get, _FORCED)):
        return Lines()
    from rich.console import Console  # noqa: PLC0415 - see the module's docstring

    return Console()


def say(console: "Console | Lines", text: str) -> None:
    """Prints text as it is: no markup, no wrapping, no colours of numbers, so that commands can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
