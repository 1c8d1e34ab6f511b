"""Making room in a store: what nobody holds goes, the longest unused first, artifacts and what interrupted pulls left.

Nothing that a running pod reads is touched: each holds its artifact by a lock (`berth_store.holds`). As the loader of a
pod lets go before the engine takes over, what was used a moment ago is spared too. Who is found to hold something has
used it now, so that a short pause of a long-running engine does not make its model the oldest of all.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

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
class Wish:
    """What is to be freed, and what is not.

    `own` is asked for no sacrifice. `keeps` are blobs of it that have no name yet, and keys of what has come of it in
    part. What was used within `spared_seconds` stays. `into` has the links beside the store, if there are any. `may_go`
    says it of an artifact by its digest and its hold files.
    """

    lacking_bytes: int = 0
    own: Digest | None = None
    keeps: frozenset[str] = frozenset()
    spared_seconds: float = SPARED_SECONDS
    into: Path | None = None
    may_go: Callable[[Digest, Sequence[HoldFile]], bool] = lambda _pin, _files: True


class _Candidate(Protocol):
    """Something that may be freed: `last_use` in seconds since the epoch."""

    @property
    def last_use(self) -> float: ...

    @property
    def files(self) -> Sequence[HoldFile]:
        """By which it is held, if it is."""
        ...

    def free(self, store: Store, into: Path | None) -> Eviction:
        """Forget it, under the store's lock. What had names only is swept by whoever sweeps next."""
        ...


@dataclass(frozen=True)
class _Tenant:
    """An artifact as pods know it, with its hold files."""

    pin: Digest
    files: tuple[HoldFile, ...]

    @property
    def last_use(self) -> float:
        """0 where no Model has ever asked for it."""
        return max((file.path.stat().st_mtime for file in self.files), default=0.0)

    def free(self, store: Store, into: Path | None) -> Eviction:
        """The hold files last: where this is interrupted, the artifact is still found and forgotten the next time."""
        store.forget(self.pin)
        if into is not None:
            (into / link_name(self.pin)).unlink(missing_ok=True)
        for file in self.files:
            file.path.unlink(missing_ok=True)
        return Eviction(pins=(self.pin,))


@dataclass(frozen=True)
class _Leftover:
    """A partial file that nobody goes on with now: nobody is adding content while we look."""

    path: Path
    files: tuple[HoldFile, ...] = ()

    @property
    def last_use(self) -> float:
        """When it was last written to."""
        return self.path.stat().st_mtime

    def free(self, _store: Store, _into: Path | None) -> Eviction:
        """At once, for no sweep does."""
        size_bytes = self.path.stat().st_blocks * 512
        self.path.with_suffix(".journal").unlink(missing_ok=True)
        self.path.unlink()
        return Eviction(freed_bytes=max(size_bytes, 1))


def link_name(pin: Digest) -> str:
    """The name of the link to an artifact's files beside the store."""
    return f"sha256-{hex_of(pin)}"


def evict(store: Store, wish: Wish, *, now: float | None = None) -> Eviction:
    """Free at least so many bytes, or what there is to free."""
    moment = time.time() if now is None else now
    freed, pins = sweep(store, keeps=wish.keeps).freed_bytes, list[Digest]()
    while freed < max(wish.lacking_bytes, 1):
        look = _free_oldest(store, wish, moment)
        if not look.pins and not look.freed_bytes:
            return Eviction(freed, tuple(pins), look.postponed, look.held_by, look.recent_of)
        pins += look.pins
        freed += look.freed_bytes + sweep(store, keeps=wish.keeps).freed_bytes
    return Eviction(freed, tuple(pins))


def _free_oldest(store: Store, wish: Wish, now: float) -> Eviction:
    """Free the first that may go, the oldest first."""
    held: list[str] = []
    recent: list[str] = []
    with locks.exclusive_if_free(store.locks / "store") as free:
        if not free:
            return Eviction(postponed=True)
        for candidate in sorted(_candidates(store, wish), key=lambda candidate: candidate.last_use):
            with ExitStack() as stack:
                holders = list(_holders(candidate.files, stack))
                held += holders
                if holders:
                    continue
                if now - candidate.last_use < wish.spared_seconds:
                    recent += [file.model for file in candidate.files]
                    continue
                return candidate.free(store, wish.into)
    return Eviction(held_by=_names(held), recent_of=_names(recent))


def _candidates(store: Store, wish: Wish) -> Iterator[_Candidate]:
    files: dict[Digest, list[HoldFile]] = {pin: [] for pin in index.pins(store.read_index())}
    for file in find_holds(store.root):
        files.setdefault(file.pin, []).append(file)
    for pin, found in files.items():
        if pin != wish.own and wish.may_go(pin, found):
            yield _Tenant(pin, tuple(found))
    for path in store.ingest.glob("*.partial"):
        if path.stem not in wish.keeps:
            yield _Leftover(path)


def _holders(files: Sequence[HoldFile], stack: ExitStack) -> Iterator[str]:
    """The Models that hold it; what is free is locked until `stack` ends, so that nobody comes in between."""
    for file in files:
        if not stack.enter_context(locks.exclusive_if_free(file.path)):
            os.utime(file.path)
            yield file.model


def _names(models: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(models)))
