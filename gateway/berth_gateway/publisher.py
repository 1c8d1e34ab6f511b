"""Brings what was read of the API server to Envoy: bursts as one, and while it refuses something, all the rest.

Used by cluster.py.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from berth_api.errors import Unavailable
from berth_gateway.served import Served
from berth_gateway.snapshot import Snapshot
from berth_gateway.xds import UpdateRejected

_log = logging.getLogger(__name__)

COALESCE_SECONDS = 0.03
"""How long a change waits for others: an engine that ends must be out of Envoy's choice within a tenth of a second."""


class Target(Protocol):
    """Who makes Envoy serve; `Agent.apply` is the contract."""

    async def apply(self, snapshot: Snapshot) -> None:
        """Make Envoy serve `snapshot`; returns when it does, raises UpdateRejected or Unavailable."""


class Source(Protocol):
    """What there is to serve."""

    def newest(self) -> Served:
        """Everything as it is now."""

    def with_newest_endpoints(self, served: Served) -> Served:
        """The Models and ModelRoutes of `served`, at the endpoints that they have now."""


class Publisher:
    """Applies what `source` has whenever it is poked. `record` gets each state that Envoy has acknowledged."""

    def __init__(self, target: Target, source: Source, record: Callable[[Served], None]) -> None:
        self.acknowledged: Served | None = None
        """What Envoy serves by; None before the first acknowledgement."""
        self.refusal = ""
        """Envoy's words where it refused the newest state; empty otherwise."""
        self._target = target
        self._source = source
        self._record = record
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Something may have changed, or Envoy has come back."""
        self._poked.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._poked.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._poked.clear()
            await self._publish()

    async def _publish(self) -> None:
        try:
            await self._apply(self._source.newest())
            self.refusal = ""
        except UpdateRejected as error:
            self._note(str(error))
            await self._publish_endpoints()
        except Unavailable as error:
            # It may still be taken unseen, so apply what is newest then, and hear that it was.
            _log.warning("%s", error)
            self.poke()

    async def _publish_endpoints(self) -> None:
        """While a declaration of one stands in the way, the engines of all others come and go."""
        if self.acknowledged is None:
            return
        known = self._source.with_newest_endpoints(self.acknowledged)
        if known.snapshot == self.acknowledged.snapshot:
            return
        try:
            await self._apply(known)
        except (UpdateRejected, Unavailable) as error:
            _log.warning("the newest endpoints are not taken either: %s", error)

    async def _apply(self, served: Served) -> None:
        await self._target.apply(served.snapshot)
        self.acknowledged = served
        self._record(served)

    def _note(self, refusal: str) -> None:
        """The same state is refused again and again, and told once."""
        if refusal != self.refusal:
            _log.error("%s", refusal)
        self.refusal = refusal
