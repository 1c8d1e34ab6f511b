"""`load_shared`: a load into a folder that several Models share. It holds what it brings, and frees what none holds."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from berth_store.digest import Digest
from berth_store.errors import DiskFull
from berth_store.evict import SPARED_SECONDS, Eviction, evict, link_name
from berth_store.holds import take_hold
from berth_store.loader.board import Board
from berth_store.loader.load import BACK_OFF, STORE_NAME, load
from berth_store.local import Store
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy
from berth_store.signing.demand import Demand
from berth_store.sources.address import Name
from berth_store.tasks import in_thread

LOOK_AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tenant:
    """For whom the folder is used: a Model, and the digest that its pods know the artifact by."""

    model: str
    pin: Digest


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

    Where room lacks, what no pod holds is freed, the longest unused first. Raises DiskFull, which says who holds the
    rest, when there is nothing left to free.
    """
    store = Store(into / STORE_NAME)
    deadline = clock() + patience_seconds
    with contextlib.closing(await in_thread(take_hold, store, tenant.pin, tenant.model)) as hold:
        while True:
            try:
                digest = await load(
                    name,
                    into,
                    board,
                    registries=registries,
                    patience_seconds=patience_seconds,
                    clock=clock,
                    back_off=back_off,
                    link=link_name(tenant.pin),
                    demand=demand,
                )
            except DiskFull as error:
                done = await in_thread(_make_room, store, into, error, tenant)
                if not done.freed_bytes:
                    if not done.postponed or clock() > deadline:
                        raise DiskFull(error.what, remedy=_remedy(done)) from error
                    board.tell_trouble("room is made once no other pod fetches into this claim any more")
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
            else:
                hold.touch()
                return digest


def _make_room(store: Store, into: Path, error: DiskFull, tenant: Tenant) -> Eviction:
    done = evict(store, into, error.lacking_bytes, own=tenant.pin)
    for pin in done.pins:
        log.info("freed", extra={"digest": pin})
    return done


def _remedy(done: Eviction) -> str:
    minutes = round(SPARED_SECONDS / 60)
    standing = [
        *([f"running pods hold what the Models {', '.join(done.held_by)} use"] if done.held_by else []),
        *([f"{', '.join(done.recent_of)} used theirs in the last {minutes} minutes"] if done.recent_of else []),
    ]
    said = "; ".join(standing) or "there is nothing on it that could be freed"
    return f"{said}. Give the claim more room, or delete or suspend one of its Models"
