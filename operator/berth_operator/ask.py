"""Asking pods over HTTP: short, bounded, and never a failure. Used by pod_reports.py and gateway_reports.py."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from berth_kube.resources import Object

ASK_SECONDS: Final = 1.0
_AT_ONCE: Final = 128
"""As many as all reconciles that may be under way ask together, so that none waits for the pods of another."""
ANSWER_MAX_BYTES: Final = 256 * 1024
GATEWAY_ANSWER_MAX_BYTES: Final = 16 * 1024 * 1024
"""A gateway names every Model and ModelRoute that it serves, in some 200 bytes each."""

Ask = Callable[[str], Awaitable[Object | None]]
"""The JSON object at a URL; None where there was no such answer within a second."""


class HttpAsker:
    """An `Ask` over a session that somebody else closes. What is longer than `most_bytes` is no answer."""

    def __init__(self, session: aiohttp.ClientSession, *, most_bytes: int = ANSWER_MAX_BYTES) -> None:
        self._session = session
        self._most_bytes = most_bytes
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)

    async def __call__(self, url: str) -> Object | None:
        """See `Ask`."""
        async with self._slots:
            try:
                async with self._session.get(url, timeout=self._timeout, allow_redirects=False) as response:
                    body = await _read_bounded(response, self._most_bytes)
            except (aiohttp.ClientError, TimeoutError, OSError):
                return None
        if body is None:
            return None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):  # the latter where it is nested too deep
            return None
        return answer if isinstance(answer, dict) else None


async def _read_bounded(response: aiohttp.ClientResponse, most_bytes: int) -> bytes | None:
    """The body. It may come from a pod that runs what users chose, so its size is not trusted."""
    if response.status != 200:
        return None
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most_bytes:
            return None
    return bytes(body)


def url_of(address: str, port: int, path: str) -> str:
    """The URL of a port of a pod, whose address may be of either version of IP."""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{path}"
