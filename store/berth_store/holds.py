"""Who uses what in a store that several Models share: `holds/<hex>.<model>`, a file for each artifact and Model.

It is locked, shared, by the loader of a pod while it fetches and by the engine while it runs: the operating system ends
the lock with the process, however that dies. Its time of change is the artifact's last use. `<hex>` is of the digest
that the Model pins, by which pods know the artifact too. `berth_store.evict` frees what nobody holds. On a laptop there
is one file for each artifact that was fetched, see `berth_store.fetched`.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from berth_api.errors import Unavailable
from berth_store import locks
from berth_store.digest import Digest, hex_of
from berth_store.durable import writing

if TYPE_CHECKING:
    from berth_store.local import Store

_FOLDER: Final = "holds"
_NAME: Final = re.compile(r"([0-9a-f]{64})\.([a-z0-9][a-z0-9-]{0,62})")


@dataclass(frozen=True)
class HoldFile:
    """One file of the folder, of which nothing is known but its name."""

    path: Path
    pin: Digest
    model: str


class Hold:
    """A hold that was taken; it lasts until `close`, or until the process ends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def touch(self) -> None:
        """The artifact was used now."""
        os.utime(self._handle)

    def close(self) -> None:
        """Let go."""
        os.close(self._handle)


def hold_path(root: Path, pin: Digest, model: str) -> Path:
    """The file of an artifact and a Model in the store at `root`."""
    return root / _FOLDER / f"{hex_of(pin)}.{model}"


def take_hold(store: "Store", pin: Digest, model: str) -> Hold:
    """Hold the artifact for the Model, whether it is there already or about to come.

    The file is made while the store's lock is shared, which who evicts has alone: it has seen all holds that there are.
    """
    with store.using(), writing(store.root):
        path = hold_path(store.root, pin, model)
        path.parent.mkdir(exist_ok=True)
        hold = Hold(locks.hold(path))
        hold.touch()
    return hold


def join_hold(path: Path) -> Hold:
    """Hold what a loader has held before, in a store that can't be written. Raises Unavailable where it is gone."""
    handle = locks.hold_if_there(path)
    if handle is None:
        raise Unavailable(
            f"{path} is not there: the model was freed for another one while nothing held it. "
            "Delete this pod: the one that takes its place fetches the model again"
        )
    return Hold(handle)


def find_holds(root: Path) -> Iterator[HoldFile]:
    """Every file of the folder, in the order of their names; names that are not ours are passed over."""
    folder = root / _FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        found = _NAME.fullmatch(path.name)
        if found is not None:
            yield HoldFile(path, Digest(f"sha256:{found[1]}"), found[2])


def held_pins(root: Path) -> frozenset[Digest]:
    """What anybody holds at this moment."""
    held = set()
    for file in find_holds(root):
        with locks.exclusive_if_free(file.path) as free:
            if not free:
                held.add(file.pin)
    return frozenset(held)
