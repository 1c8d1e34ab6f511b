"""Whether the watches still live: a process whose view of the cluster has stopped must not go on as if it saw.

That the API server is away is no reason to end: what serves goes on serving, and a restart would see no more. A watch
that stays silent while the API server answers questions is one. Used by cluster.py.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from berth_api.errors import BerthError
from berth_gateway.intake import Watch
from berth_kube.cluster import Cluster, Scope
from berth_kube.errors import ClusterError

_log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
SILENCE_SECONDS = 90.0
"""Bookmarks come each minute, and a reflector gives up a stream that is silent for 70 s."""
PROOF_SECONDS = 45.0
"""How long the API server must have answered meanwhile: after an outage each reflector needs a moment to come back."""


class WatchDied(BerthError):  # noqa: N818 - reads as what happened
    """A kind is not watched any more although the API server answers; only a new process can help."""


class Watchdog:
    """Looks after all watches. With these figures a dead watch is found within 140 s and its requests' time-out."""

    def __init__(self, cluster: Cluster, watches: Sequence[Watch]) -> None:
        self._cluster = cluster
        self._watches = watches
        self._answered_since: dict[Watch, float] = {}
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Until a watch is found dead: raises WatchDied."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._tell_troubles()
            await self.look(time.monotonic())

    async def look(self, now: float) -> None:
        """One look at all of them."""
        for watch in self._watches:
            silence_seconds = watch.reflector.age_seconds(now)
            if silence_seconds < SILENCE_SECONDS or not await self._answers(watch):
                self._answered_since.pop(watch, None)
            elif now - self._answered_since.setdefault(watch, now) >= PROOF_SECONDS:
                raise WatchDied(
                    f"nothing was heard of {watch.reflector.resource.plural} for {silence_seconds:.0f} s although the "
                    "API server answers; this process ends, so that a new one starts afresh"
                )

    async def _answers(self, watch: Watch) -> bool:
        try:
            await self._cluster.list_page(watch.reflector.resource, Scope(watch.namespace), limit=1)
        except ClusterError:
            return False
        return True

    def _tell_troubles(self) -> None:
        """Log what keeps a kind from being read when it begins, changes and ends."""
        troubles = {
            f"{watch.namespace or '*'}/{watch.reflector.resource.plural}": watch.reflector.trouble
            for watch in self._watches
        }
        for what, trouble in troubles.items():
            if trouble == self._troubles.get(what, ""):
                continue
            if trouble:
                _log.warning("the API server can't be watched now", extra={"what": what, "why": trouble})
            else:
                _log.info("the API server is watched again", extra={"what": what})
        self._troubles = troubles
