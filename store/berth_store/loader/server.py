"""The loader's HTTP port: `GET /progress` for the operator, `GET /health/live` for probes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from berth_api.errors import Unavailable
from berth_store.listening import listen_everywhere
from berth_store.loader.board import Board


@asynccontextmanager
async def serving(board: Board, port: int) -> AsyncIterator[int]:
    """Answer on every address of this machine meanwhile; the port. Raises `Unavailable`."""
    runner = web.AppRunner(build_application(board), access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        try:
            await web.SockSite(runner, listen_everywhere(port)).start()
        except OSError as error:
            raise Unavailable(
                f"port {port} can't be listened on: {error.strerror or error}; choose another by --progress-port"
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def build_application(board: Board) -> web.Application:
    """The two addresses."""

    async def answer_progress(_: web.Request) -> web.Response:
        return web.json_response(board.render())

    async def answer_live(_: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    app = web.Application()
    app.router.add_get("/progress", answer_progress)
    app.router.add_get("/health/live", answer_live)
    return app
