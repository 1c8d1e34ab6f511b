"""The look at a source that resolver and inspection have in common: the files that are wanted, and their beginnings.

`Look` is what was found by then; detection and whatever is said of it come after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from berth_store.digest import Digest
from berth_store.resolver.scratch import Scratch
from berth_store.sources.address import Name
from berth_store.sources.opened import select
from berth_store.sources.protocol import ListedFile, Listing


@dataclass(frozen=True)
class Look:
    """What a source holds. `files` are those that are wanted, with the digests that are known.

    `inside` are the files of its archives; where nothing was fetched whole, their digests are made up. `notes` say
    what was passed over.
    """

    listing: Listing
    inside: tuple[ListedFile, ...]
    files: tuple[ListedFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The room that it takes. An archive is fetched and unpacked whole, whatever is taken of it, and what it holds
        lies beside it.
        """
        whole = len(self.files) == len(self.listing.files) + len(self.inside)
        further_bytes = self.listing.further_bytes if whole or self.inside else 0
        return sum(file.size for file in {*self.files, *self.inside}) + further_bytes

    @property
    def digests(self) -> Mapping[str, Digest | None]:
        """The digests by name; none of what lies in archives, for these are made up."""
        packed = frozenset(self.inside)
        return {file.path: None if file in packed else file.digest for file in self.files}


async def look(name: Name, listing: Listing, inside: Sequence[ListedFile], there: Scratch) -> Look:
    """Choose the files that are wanted, and fetch the beginning of each. Raises what `berth_store.errors` lists."""
    selection = select(name, (*listing.files, *inside))
    return Look(listing, tuple(inside), await there.prepare(selection.files), selection.notes)


def in_words_of(name: Name, text: str, view: Path) -> str:
    """The sentence with the artifact's name in place of the folder that it was looked at in."""
    return text.replace(str(view), str(name))
