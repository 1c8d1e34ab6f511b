"""Envoy's administration over its Unix socket: its numbers, and the health that it tells. For agent.py and drain.py."""

from pathlib import Path

import aiohttp

from berth_api.errors import Unavailable

_SECONDS = 5
_ACTIVE = "http.gateway.downstream_rq_active"


class EnvoyAdmin:
    """Asks the Envoy beside this agent. Raises Unavailable where it does not answer."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def statistics(self) -> bytes:
        """All of its numbers in Prometheus' text format."""
        return await self._ask("GET", "/stats/prometheus")

    async def active_requests(self) -> int:
        """How many requests of clients it has not answered to the end."""
        said = (await self._ask("GET", f"/stats?filter=^{_ACTIVE}$")).decode()
        name, _, value = said.strip().partition(": ")
        if name != _ACTIVE or not value.isdigit():
            raise Unavailable(f"Envoy's answer names no {_ACTIVE}: {said[:200]!r}")
        return int(value)

    async def fail_health_check(self) -> None:
        """From now on its readiness is 503, and it closes each connection of a client after the next answer."""
        await self._ask("POST", "/healthcheck/fail")

    async def _ask(self, method: str, path: str) -> bytes:
        connector = aiohttp.UnixConnector(str(self._socket))
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(method, f"http://envoy{path}") as response,
            ):
                response.raise_for_status()
                return await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = str(error) or "no answer in time"
            raise Unavailable(f"Envoy's administration at {self._socket} does not answer: {what}") from error
