"""What was found in an archive, as a value: `Inventory`, kept as JSON beside the store's blobs. Pure.

An inventory names the files of one archive by their digests, under which they lie among the blobs. `merge` makes one
file system of an image's layers, `model_files` finds the model in it.
"""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from berth_store.archive.kinds import MODEL_FOLDERS
from berth_store.digest import Digest
from berth_store.manifest import DigestText, canonical_json

MAX_INVENTORY_BYTES = 32 * 1024 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Part):
    """A file that lay in an archive."""

    name: str
    digest: DigestText
    size: int


class Inventory(_Part):
    """The files of an archive, and what it takes away of the layers below it, if it is one of an image."""

    files: tuple[File, ...]
    removed: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()

    @property
    def digests(self) -> frozenset[Digest]:
        """The blobs that it needs."""
        return frozenset(file.digest for file in self.files)


def render_inventory(inventory: Inventory) -> bytes:
    """The inventory as JSON."""
    return canonical_json(inventory.model_dump())


def parse_inventory(content: bytes) -> Inventory | None:
    """The inventory in `content`; None where it is damaged, for then it is made anew."""
    try:
        return Inventory.model_validate_json(content)
    except ValidationError:
        return None


def merge(inventories: Sequence[Inventory]) -> tuple[File, ...]:
    """The files of an image, whose layers lie one above the other: later ones replace, take away and empty."""
    files: dict[str, File] = {}
    for inventory in inventories:
        for name in (*inventory.removed, *inventory.emptied):
            inside = f"{name}/" if name else ""
            for gone in [each for each in files if each.startswith(inside)]:
                del files[gone]
        for name in inventory.removed:
            files.pop(name, None)
        files.update({file.name: file for file in inventory.files})
    return tuple(files.values())


def model_files(files: Iterable[File]) -> tuple[File, ...]:
    """Those of an image's files that lie in the best of the folders where models lie, named from there."""
    known = tuple(files)
    for folder in MODEL_FOLDERS:
        inside = [file for file in known if file.name.startswith(f"{folder}/")]
        if inside:
            return tuple(file.model_copy(update={"name": file.name.removeprefix(f"{folder}/")}) for file in inside)
    return ()
