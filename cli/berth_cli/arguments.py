"""Arguments that several commands take."""

import ipaddress
from dataclasses import replace
from typing import Any

import click
from click.shell_completion import CompletionItem

from berth_api.errors import BerthError
from berth_store.local import Store
from berth_store.reference import Reference
from berth_store.sources.address import Address, Name, parse_name


def choosing(name: Name, files: tuple[str, ...]) -> Name:
    """The name of those of its files that match one of the patterns; the name itself where there are none."""
    if not files:
        return name
    patterns = tuple(sorted(set(files)))
    return Address(name, patterns, name.digest) if isinstance(name, Reference) else replace(name, files=patterns)


class _StoredName:
    """Completion from the names in the store."""

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The names that begin so; none where the store can't be read."""
        try:
            names = [model.reference.familiar for model in Store().list()]
        except (BerthError, OSError):
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class ReferenceArgument(_StoredName, click.ParamType[Reference]):
    """A reference: an artifact of a registry or of this machine's store."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Reference:  # noqa: ARG002
        """Parses it. Raises `InvalidSpec`, which is shown as every other."""
        return value if isinstance(value, Reference) else Reference.parse(value)


class NameArgument(_StoredName, click.ParamType[Name]):
    """A reference, or the address of another source, such as `hf://organisation/model`."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Name:  # noqa: ARG002
        """Parses it. Raises `InvalidSpec`, which is shown as every other."""
        return value if isinstance(value, Reference | Address) else parse_name(value)


class HostArgument(click.ParamType[str]):
    """An IP address of this machine; `localhost` is taken for 127.0.0.1."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The address as text; wrong usage otherwise."""
        try:
            return str(ipaddress.ip_address("127.0.0.1" if value == "localhost" else value))
        except ValueError:
            self.fail(f"{value!r} is no IP address; write one such as 127.0.0.1, or 0.0.0.0 for all", param, ctx)


REFERENCE = ReferenceArgument()
NAME = NameArgument()
HOST = HostArgument()
