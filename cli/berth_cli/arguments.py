"""Arguments that several commands take."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from berth_api.errors import BerthError
from berth_store.local import Store
from berth_store.reference import Reference


class ReferenceArgument(click.ParamType[Reference]):
    """A reference, completed from the names in the store."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Reference:  # noqa: ARG002
        """Parses it. Raises `InvalidSpec`, which is shown as every other."""
        return value if isinstance(value, Reference) else Reference.parse(value)

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


REFERENCE = ReferenceArgument()
