"""The loader's port answers on every address, whichever IP family asks."""

import socket

import aiohttp
import pytest

from berth_api.errors import Unavailable
from berth_store.listening import listen_everywhere
from berth_store.loader.board import Board
from berth_store.loader.server import serving


async def ask(url: str) -> object:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()


async def test_progress_and_liveness_are_answered() -> None:
    async with serving(Board(lambda: 0.0), 0) as port:
        progress = await ask(f"http://127.0.0.1:{port}/progress")
        assert progress == {
            "stage": "Resolving",
            "bytesDone": 0,
            "bytesTotal": 0,
            "bytesPerSecond": 0,
            "secondsLeft": None,
            "message": "",
        }
        assert await ask(f"http://127.0.0.1:{port}/health/live") == {"status": "live"}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_the_same_port_answers_over_ipv6() -> None:
    async with serving(Board(lambda: 0.0), 0) as port:
        assert await ask(f"http://[::1]:{port}/health/live") == {"status": "live"}


async def test_a_port_that_is_taken_is_said_with_the_remedy() -> None:
    with listen_everywhere(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} can't be listened on: .*choose another by --progress-port"):
            async with serving(Board(lambda: 0.0), port):
                pass


def test_a_machine_without_ipv6_listens_over_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listen_everywhere(0) as listening:
        assert listening.family is socket.AF_INET
