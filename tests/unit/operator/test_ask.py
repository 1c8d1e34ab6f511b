"""Asking pods: whatever is there, the answer is a JSON object or nothing, and soon."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from api_server import free_port

from berth_operator.ask import ANSWER_MAX_BYTES, GATEWAY_ANSWER_MAX_BYTES, HttpAsker, url_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


def say(text: str, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers)

    return handler


@asynccontextmanager
async def a_pod(handler: Handler) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/status", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def ask(port: int, most_bytes: int = ANSWER_MAX_BYTES) -> object:
    async with aiohttp.ClientSession() as session:
        return await HttpAsker(session, most_bytes=most_bytes)(url_of("127.0.0.1", port, "/status"))


async def test_a_json_object_is_an_answer() -> None:
    async with a_pod(say('{"models": []}')) as port:
        assert await ask(port) == {"models": []}


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(say("not JSON"), id="text"),
        pytest.param(say("[1]"), id="a list"),
        pytest.param(say("{}", status=503), id="an error"),
        pytest.param(say("{}", status=302, Location="http://169.254.169.254/"), id="a redirect"),
        pytest.param(say('{"x": "' + "y" * 300_000 + '"}'), id="too much"),
        pytest.param(say('{"a":' * 20_000 + "1" + "}" * 20_000), id="depths"),
        pytest.param(hang, id="nothing for a second"),
    ],
)
async def test_anything_else_is_none(handler: Handler) -> None:
    async with a_pod(handler) as port, asyncio.timeout(10):
        assert await ask(port) is None


async def test_a_gateway_of_thousands_of_models_and_routes_is_heard() -> None:
    namespace, entry = "n" * 63, {"uid": "0" * 36, "generation": 12}
    served = {f"{namespace}/{number:050}": entry for number in range(5000)}
    async with a_pod(say(json.dumps({"routes": served, "models": served}))) as port:
        assert await ask(port, GATEWAY_ANSWER_MAX_BYTES) == {"routes": served, "models": served}
        assert await ask(port) is None


async def test_a_port_that_nobody_listens_on_is_none() -> None:
    assert await ask(free_port()) is None
