"""Making room in a store that several Models share: the artifacts that nobody holds go, the longest unused first.

Nothing that a running pod reads is touched: each holds its artifact by a lock (`berth_store.holds`). As the loader of a
pod lets go before the engine takes over, what was used a moment ago is spared too. Who is found to hold something has
used it now, so that a short pause of a long-running engine does not make its model the oldest of all.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from berth_store import index, locks
from berth_store.digest import Digest, hex_of
from berth_store.holds import HoldFile, find_holds
from berth_store.local import Store
from berth_store.sweep import sweep

SPARED_SECONDS: Final = 900.0
"""How long an engine may take from the end of its loader to its own start, which pulls an image at worst."""


@dataclass(frozen=True)
class Eviction:
    """What was freed. `postponed`: others are adding content, so nobody may look.

    `held_by` and `recent_of` are the Models that stood in the way, by running pods or by a use that is not long ago.
    """

    freed_bytes: int = 0
    pins: tuple[Digest, ...] = ()
    postponed: bool = False
    held_by: tuple[str, ...] = ()
    recent_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Tenant:
    """An artifact as pods know it, with its hold files."""

    pin: Digest
    files: tuple[HoldFile, ...]

    @property
    def last_use(self) -> float:
        """Seconds since the epoch; 0 where no Model has ever asked for it."""
        return max((file.path.stat().st_mtime for file in self.files), default=0.0)


def link_name(pin: Digest) -> str:
    """The name of the link to an artifact's files beside the store."""
    return f"sha256-{hex_of(pin)}"


def evict(store: Store, into: Path, lacking_bytes: int, *, own: Digest, now: float | None = None) -> Eviction:
    """Free at least so many bytes, or what there is to free. `into` has the links; `own` is asked for no sacrifice."""
    moment = time.time() if now is None else now
    freed, pins = sweep(store).freed_bytes, list[Digest]()
    while freed < max(lacking_bytes, 1):
        look = _forget_oldest(store, into, own, moment)
        if not look.pins:
            return Eviction(freed, tuple(pins), look.postponed, look.held_by, look.recent_of)
        pins += look.pins
        freed += sweep(store).freed_bytes
    return Eviction(freed, tuple(pins))


def _forget_oldest(store: Store, into: Path, own: Digest, now: float) -> Eviction:
    """Forget the first artifact, oldest first, that may go; its content is swept by whoever sweeps next."""
    held: list[str] = []
    recent: list[str] = []
    with locks.exclusive_if_free(store.locks / "store") as free:
        if not free:
            return Eviction(postponed=True)
        for tenant in sorted(_tenants(store, own), key=lambda tenant: tenant.last_use):
            with ExitStack() as stack:
                holders = list(_holders(tenant.files, stack))
                held += holders
                if holders:
                    continue
                if now - tenant.last_use < SPARED_SECONDS:
                    recent += [file.model for file in tenant.files]
                    continue
                _forget(store, into, tenant)
                return Eviction(pins=(tenant.pin,))
    return Eviction(held_by=_names(held), recent_of=_names(recent))


def _tenants(store: Store, own: Digest) -> list[_Tenant]:
    files: dict[Digest, list[HoldFile]] = {pin: [] for pin in index.pins(store.read_index())}
    for file in find_holds(store.root):
        files.setdefault(file.pin, []).append(file)
    return [_Tenant(pin, tuple(found)) for pin, found in files.items() if pin != own]


def _holders(files: Sequence[HoldFile], stack: ExitStack) -> Iterator[str]:
    """The Models that hold it; what is free is locked until `stack` ends, so that nobody comes in between."""
    for file in files:
        if not stack.enter_context(locks.exclusive_if_free(file.path)):
            os.utime(file.path)
            yield file.model


def _forget(store: Store, into: Path, tenant: _Tenant) -> None:
    """The hold files last: where this is interrupted, the artifact is still found and forgotten the next time."""
    store.forget(tenant.pin)
    (into / link_name(tenant.pin)).unlink(missing_ok=True)
    for file in tenant.files:
        file.path.unlink(missing_ok=True)


def _names(models: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(models)))
