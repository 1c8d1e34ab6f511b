"""What was fetched onto this machine and may go for something else: `holds/<hex>.fetched`, a file for each artifact.

Only what a pull has brought has one. What was packaged here has none and is never freed: nobody else may have it. The
file's time is the last use; who serves a model holds it. All of that matters where the store has a quota and no
sooner; without one a full disk is the user's own affair.
"""

import contextlib
from collections.abc import Sequence

from berth_store import index, locks
from berth_store.digest import Digest
from berth_store.errors import DiskFull, QuotaReached
from berth_store.evict import Eviction, Wish, evict
from berth_store.holds import Hold, HoldFile, hold_path, take_hold
from berth_store.home import QUOTA_VARIABLE
from berth_store.local import Store
from berth_store.make_room import RoomMaker, with_room
from berth_store.progress import Report
from berth_store.pull import pull
from berth_store.registries import RegistryConfig
from berth_store.signing.demand import Demand
from berth_store.sources.address import Name
from berth_store.tasks import in_thread

_WORD = "fetched"


async def fetch_and_hold(
    store: Store,
    name: Name,
    *,
    registries: RegistryConfig | None = None,
    progress: Report | None = None,
    demand: Demand | None = None,
) -> tuple[Digest, Hold | None]:
    """Pull as `berth_store.pull` does, within the store's quota; the digest, and a hold on what was fetched.

    Where the quota would be passed, what was fetched before goes, the longest unused first. Raises QuotaReached where
    that is not enough. What is found here and was packaged here is no more freed for having been asked for.
    """

    async def fetch() -> Digest:
        return await pull(store, name, registries=registries, progress=progress, demand=demand)

    is_packaged = await in_thread(_is_packaged, store, name)
    digest = await (fetch() if store.quota_bytes is None else with_room(fetch, _maker(store)))
    if is_packaged:
        return digest, None
    return digest, await in_thread(take_hold, store, pin_of(name, digest), _WORD)


def hold_fetched(store: Store, name: Name, digest: Digest) -> Hold | None:
    """Hold what is here and was fetched once; None for what was packaged here, which nobody frees."""
    handle = locks.hold_if_there(hold_path(store.root, pin_of(name, digest), _WORD))
    if handle is None:
        return None
    hold = Hold(handle)
    with contextlib.suppress(OSError):  # A store that this user can only read is nobody's to evict from.
        hold.touch()
    return hold


def pin_of(name: Name, digest: Digest) -> Digest:
    """The digest by which the index knows what stands under the name."""
    return name.digest or digest


def _is_packaged(store: Store, name: Name) -> bool:
    """Whether nobody else is asked for what the name stands for, and no pull has brought it."""
    digest = store.resolve(name) if name.is_local or name.digest else None
    return digest is not None and not hold_path(store.root, pin_of(name, digest), _WORD).exists()


def _maker(store: Store) -> RoomMaker:
    return RoomMaker(free=lambda error: _free(store, error), remedy=_remedy)


def _free(store: Store, error: DiskFull) -> Eviction:
    if not isinstance(error, QuotaReached):
        return Eviction()
    local = _pins_of_local_names(store)

    def may_go(pin: Digest, files: Sequence[HoldFile]) -> bool:
        return bool(files) and pin not in local

    wish = Wish(lacking_bytes=error.lacking_bytes, keeps=error.keeps, spared_seconds=0, may_go=may_go)
    return evict(store, wish)


def _pins_of_local_names(store: Store) -> frozenset[Digest]:
    found = index.entries(store.read_index())
    return frozenset(pin_of(entry.reference, entry.digest) for entry in found if entry.reference.is_local)


def _remedy(error: DiskFull, _done: Eviction) -> str:
    if not isinstance(error, QuotaReached):
        return error.remedy
    if error.is_final:
        return f"raise {QUOTA_VARIABLE}"
    return (
        "nothing that was fetched can go any more: what is left is served by `berth up`, or was packaged here. "
        f"Raise {QUOTA_VARIABLE}, or stop a model"
    )
