"""`load`: pulls until the artifact is there, over trouble that may pass, and links its view to its place."""

import asyncio
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

from berth_api.errors import Unavailable
from berth_store.digest import Digest
from berth_store.durable import flush_folder, temporary_name, writing
from berth_store.errors import DiskFull, SourceError
from berth_store.loader.board import Board
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy, delay_seconds, is_worth_retrying
from berth_store.signing.demand import Demand
from berth_store.sources.address import Name
from berth_store.tasks import in_thread

STORE_NAME = "store"
MODEL_NAME = "model"
# Between whole pulls, each of which has tried again by itself.
BACK_OFF = RetryPolicy(first_delay_seconds=2.0, longest_delay_seconds=30.0)
ROOM_REMEDY = "give the Model's volume more room, or its nodes larger disks"

log = logging.getLogger(__name__)


async def load(
    name: Name,
    into: Path,
    board: Board,
    *,
    registries: RegistryConfig,
    patience_seconds: float,
    clock: Callable[[], float],
    back_off: RetryPolicy = BACK_OFF,
    link: str = MODEL_NAME,
    quota_bytes: int | None = None,
    demand: Demand | None = None,
) -> Digest:
    """Bring the artifact to `into`, where `link` shows its files, and return its digest.

    Trouble that may pass is told to `board` and tried again, until not a byte has come for `patience_seconds`. Raises
    what `berth_store.errors` lists; what had come by then lies in the store for the next attempt.
    """
    store = Store(into / STORE_NAME, quota_bytes=quota_bytes)
    failures = 0
    while True:
        begun_at = board.moved_at
        try:
            digest = await pull(store, name, registries=registries, progress=board.report, demand=demand)
            await in_thread(link_model, store, digest, into, link)
        except DiskFull as error:
            raise error.with_remedy(ROOM_REMEDY) from error
        except SourceError as error:
            failures = 1 if board.moved_at > begun_at else failures + 1
            pause_seconds = max(
                error.retry_after_seconds or 0.0,
                delay_seconds(back_off, failures, random.random()),  # noqa: S311 - jitter
            )
            if not is_worth_retrying(error) or clock() + pause_seconds > board.moved_at + patience_seconds:
                raise
            board.tell_trouble(f"{error}. Tried again in {pause_seconds:.0f} s")
            log.warning("trying again", extra={"detail": str(error), "seconds": round(pause_seconds, 1)})
            await asyncio.sleep(pause_seconds)
        else:
            board.finish()
            return digest


def link_model(store: Store, digest: Digest, into: Path, name: str = MODEL_NAME) -> Path:
    """Let `into/name` be the artifact's files by their own names: a relative link, so that `into` may be mounted
    anywhere, and replaced in one step, so that a reader finds the old model or the new one.
    """
    view = store.view(digest)
    model = into / name
    with writing(into):
        fresh = temporary_name(into)
        fresh.symlink_to(os.path.relpath(view, into))
        try:
            fresh.replace(model)
        except IsADirectoryError as error:
            fresh.unlink()
            message = f"{model} is a folder of somebody else's; remove it, or give another folder by --into"
            raise Unavailable(message) from error
        flush_folder(into)
    return model
