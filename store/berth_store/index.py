"""`index.json` of the store as a value: which manifest each name stands for. No IO.

Names are whole references in the annotation that the OCI image layout has for them, so that the store is an image
layout for every other tool too. Entries that bear no name of ours are kept as they are.
"""

import re
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from berth_api.errors import InvalidSpec, Unavailable
from berth_store import mediatypes
from berth_store.digest import Digest
from berth_store.manifest import Descriptor, Index, canonical_json
from berth_store.reference import Reference
from berth_store.sources.address import Name, parse_name

EMPTY = Index(manifests=())
_PINNED: Final = re.compile(r"@(sha256:[0-9a-f]{64})$")


@dataclass(frozen=True)
class Entry:
    """One name of the store."""

    reference: Name
    digest: Digest


def parse_index(content: bytes, origin: str) -> Index:
    """The index in `content`; Unavailable if it is damaged, for a guess would lose models."""
    try:
        return Index.model_validate_json(content)
    except ValidationError as error:
        raise Unavailable(
            f"{origin} is damaged; put back a whole one, or delete it and pull again (files that were fetched are kept)"
        ) from error


def render_index(index: Index) -> bytes:
    """The bytes of `index.json`."""
    return canonical_json(index.model_dump(by_alias=True, exclude_none=True))


def entries(index: Index) -> tuple[Entry, ...]:
    """Every entry with a name that is a reference, sorted by name."""
    found = ((reference_of(descriptor), descriptor.digest) for descriptor in index.manifests)
    return tuple(sorted((Entry(name, digest) for name, digest in found if name), key=lambda entry: entry.reference.key))


def reference_of(descriptor: Descriptor) -> Name | None:
    """The name of an entry; None for entries of other tools."""
    name = descriptor.annotation(mediatypes.ANNOTATION_REFERENCE)
    try:
        return parse_name(name) if name else None
    except InvalidSpec:
        return None


def lookup(index: Index, reference: Name) -> Digest | None:
    """What the name stands for. A pinned reference is here if its manifest is, under whatever name."""
    if isinstance(reference, Reference) and reference.digest:
        return next((entry.digest for entry in index.manifests if entry.digest == reference.digest), None)
    return next((entry.digest for entry in entries(index) if entry.reference.key == reference.key), None)


def with_name(index: Index, reference: Name, manifest: Descriptor) -> Index:
    """The index in which the name stands for `manifest`."""
    named = manifest.model_copy(update={"annotations": {mediatypes.ANNOTATION_REFERENCE: reference.key}})
    kept = without_name(index, reference).manifests
    return index.model_copy(update={"manifests": (*kept, named)})


def without_name(index: Index, reference: Name) -> Index:
    """The index without the name."""
    kept = tuple(entry for entry in index.manifests if _key(entry) != reference.key)
    return index.model_copy(update={"manifests": kept})


def pins(index: Index) -> frozenset[Digest]:
    """The digests by which pods know what is here: the one that a name pins, or else the manifest's own."""
    return frozenset(map(_pin, index.manifests))


def without_pin(index: Index, pin: Digest) -> Index:
    """The index without all names of that digest."""
    return index.model_copy(update={"manifests": tuple(entry for entry in index.manifests if _pin(entry) != pin)})


def _pin(descriptor: Descriptor) -> Digest:
    name = descriptor.annotation(mediatypes.ANNOTATION_REFERENCE) or ""
    found = _PINNED.search(name)
    return Digest(found[1]) if found else descriptor.digest


def _key(descriptor: Descriptor) -> str | None:
    reference = reference_of(descriptor)
    return reference.key if reference else None
