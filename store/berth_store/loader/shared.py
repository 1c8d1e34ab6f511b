"""`load_shared`: a load into a folder that several Models share. It holds what it brings, and frees what none holds."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from berth_store.digest import Digest
from berth_store.errors import DiskFull, QuotaReached
from berth_store.evict import SPARED_SECONDS, Eviction, Wish, evict, link_name
from berth_store.holds import take_hold
from berth_store.loader.board import Board
from berth_store.loader.load import BACK_OFF, STORE_NAME, load
from berth_store.local import Store
from berth_store.make_room import RoomMaker, with_room
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy
from berth_store.signing.demand import Demand
from berth_store.sources.address import Name
from berth_store.tasks import in_thread

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tenant:
    """For whom the folder is used: a Model, the digest that its pods know the artifact by, and its quota in bytes."""

    model: str
    pin: Digest
    quota_bytes: int | None = None


async def load_shared(
    name: Name,
    into: Path,
    board: Board,
    *,
    tenant: Tenant,
    registries: RegistryConfig,
    patience_seconds: float,
    clock: Callable[[], float],
    back_off: RetryPolicy = BACK_OFF,
    demand: Demand | None = None,
) -> Digest:
    """Bring the artifact to `into/sha256-<hex>`, where no newer revision of any Model ever moves it; see `load`.

    Where room lacks, or the quota would be passed, what no pod holds is freed, the longest unused first. Raises
    DiskFull or QuotaReached, which say who holds the rest, when there is nothing left to free.
    """
    store = Store(into / STORE_NAME)
    deadline = clock() + patience_seconds
    load_once = partial(
        load,
        name,
        into,
        board,
        registries=registries,
        patience_seconds=patience_seconds,
        clock=clock,
        back_off=back_off,
        link=link_name(tenant.pin),
        quota_bytes=tenant.quota_bytes,
        demand=demand,
    )
    maker = RoomMaker(
        free=partial(_make_room, store, into, tenant),
        remedy=_remedy,
        waits=partial(board.tell_trouble, "room is made once no other pod fetches into this claim any more"),
        is_late=lambda: clock() > deadline,
    )
    with contextlib.closing(await in_thread(take_hold, store, tenant.pin, tenant.model)) as hold:
        digest = await with_room(load_once, maker)
        hold.touch()
        return digest


def _make_room(store: Store, into: Path, tenant: Tenant, error: DiskFull) -> Eviction:
    wish = Wish(lacking_bytes=error.lacking_bytes, own=tenant.pin, keeps=error.keeps, into=into)
    done = evict(store, wish)
    for pin in done.pins:
        log.info("freed", extra={"digest": pin})
    return done


def _remedy(error: DiskFull, done: Eviction) -> str:
    minutes = round(SPARED_SECONDS / 60)
    standing = [
        *([f"running pods hold what the Models {', '.join(done.held_by)} use"] if done.held_by else []),
        *([f"{', '.join(done.recent_of)} used theirs in the last {minutes} minutes"] if done.recent_of else []),
        *(["other pods go on fetching into it"] if done.postponed else []),
    ]
    more = "Raise spec.cache.quota" if isinstance(error, QuotaReached) else "Give the claim more room"
    if error.is_final:
        return "this model alone has more than that; raise spec.cache.quota"
    said = "; ".join(standing) or "there is nothing on it that could be freed"
    return f"{said}. {more}, or delete or suspend one of its Models"
