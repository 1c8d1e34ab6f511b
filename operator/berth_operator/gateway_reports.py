"""What each gateway replica says it serves. Used by observe.py while a ModelRoute is looked at.

One round of questions serves every ModelRoute of the next second, so that a thousand new routes ask once.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from berth_kube.resources import Key, Object
from berth_operator.ask import Ask, url_of
from berth_operator.facts import GatewayReport

AGENT_PORT: Final = 8081
FRESH_SECONDS: Final = 1.0


class GatewayReports:
    """Asks the gateway's pods in `pods`, as the reflector keeps them. `clock` is monotonic seconds."""

    def __init__(self, pods: Mapping[Key, Object], ask: Ask, clock: Callable[[], float]) -> None:
        self._pods = pods
        self._ask = ask
        self._clock = clock
        self._lock = asyncio.Lock()
        self._reports: tuple[GatewayReport, ...] = ()
        self._asked_at = float("-inf")

    async def read(self) -> tuple[GatewayReport, ...]:
        """A report of each replica that is there and not about to leave."""
        async with self._lock:
            if self._clock() - self._asked_at >= FRESH_SECONDS:
                pods = [pod for _, pod in sorted(self._pods.items()) if is_replica(pod)]
                self._reports = tuple(await asyncio.gather(*map(self._report, pods)))
                self._asked_at = self._clock()
            return self._reports

    async def _report(self, pod: Object) -> GatewayReport:
        name, address = pod["metadata"]["name"], pod["status"].get("podIP")
        answer = await self._ask(url_of(address, AGENT_PORT, "/programmed")) if address else None
        return GatewayReport(name, None if answer is None else parse_routes(answer))


def is_replica(pod: Object) -> bool:
    """Whether a pod is one of those that must serve a route before it counts as programmed."""
    phase = (pod.get("status") or {}).get("phase")
    return not pod["metadata"].get("deletionTimestamp") and phase not in ("Succeeded", "Failed")


def parse_routes(answer: Object) -> dict[str, tuple[str, int]]:
    """UID and generation of each ModelRoute in an answer of `/programmed`; entries in another form are left out."""
    routes = answer.get("routes")
    return {key: found for key, entry in _items(routes) if (found := _parse_entry(entry)) is not None}


def _items(routes: Any) -> list[tuple[str, Any]]:
    return list(routes.items()) if isinstance(routes, dict) else []


def _parse_entry(entry: Any) -> tuple[str, int] | None:
    match entry:
        case {"uid": str(uid), "generation": int(generation)}:
            return uid, generation
        case _:
            return None
