"""Brings what was read of the API server to Envoy: bursts as one, and the last good state while one is refused.

Used by cluster.py.
"""

import asyncio
import logging
from collections.abc import Callable

from berth_api.errors import Unavailable
from berth_gateway.agent import Agent
from berth_gateway.served import Served
from berth_gateway.xds import UpdateRejected

_log = logging.getLogger(__name__)

COALESCE_SECONDS = 0.03
"""How long a change waits for others: an engine that ends must be out of Envoy's choice within a tenth of a second."""


class Publisher:
    """Builds and applies whenever it is poked. `record` gets each state that Envoy has acknowledged."""

    def __init__(self, agent: Agent, build: Callable[[], Served], record: Callable[[Served], None]) -> None:
        self.acknowledged: Served | None = None
        """What Envoy serves by; None before the first acknowledgement."""
        self.refusal = ""
        """Envoy's words where it refused the newest state; empty otherwise."""
        self._agent = agent
        self._build = build
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
            await self._publish(self._build())

    async def _publish(self, served: Served) -> None:
        try:
            await self._agent.apply(served.snapshot)
        except UpdateRejected as error:
            # The same again would be refused again: wait for another state, or for another Envoy.
            self.refusal = str(error)
            _log.error("%s", error)
            return
        except Unavailable as error:
            # It may still be taken unseen, so apply what is newest then, and hear that it was.
            _log.warning("%s", error)
            self.poke()
            return
        if self.refusal:
            _log.info("Envoy takes the newest state again")
        self.acknowledged, self.refusal = served, ""
        self._record(served)
