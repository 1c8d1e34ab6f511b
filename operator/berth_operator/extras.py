"""What a Model is served with besides its own artifact: adapters and a draft model, each from a source of its own.

Each is resolved, fetched and remembered by itself, under its key.
"""

from dataclasses import dataclass
from typing import Final

from berth_api.model_spec import ModelSpec
from berth_api.source import Source

DRAFT: Final = "-draft"
"""The key of the draft model: no adapter can be called so, and after a prefix it is part of a DNS label."""


@dataclass(frozen=True)
class Extra:
    """One of them. `key` is an adapter's name, or DRAFT; `path` is where its source stands in the manifest."""

    key: str
    source: Source
    path: str

    @property
    def is_draft(self) -> bool:
        """Whether it is the draft model, and no adapter."""
        return self.key == DRAFT

    @property
    def words(self) -> str:
        """What it is called in messages."""
        return words_of(self.key)

    @property
    def link(self) -> str:
        """What its files are shown as beside the model, in a pod's own volume."""
        return "draft" if self.is_draft else f"adapter-{self.key}"


def extras_of(spec: ModelSpec) -> tuple[Extra, ...]:
    """All of a Model, the adapters in their order and then the draft model."""
    adapters = (
        Extra(adapter.name, adapter.source, f"spec.adapters[{index}].source")
        for index, adapter in enumerate(spec.adapters)
    )
    draft = [Extra(DRAFT, spec.draft.source, "spec.draft.source")] if spec.draft is not None else []
    return (*adapters, *draft)


def words_of(key: str) -> str:
    """What the one with this key is called in messages."""
    return "the draft model" if key == DRAFT else f"the adapter {key}"
