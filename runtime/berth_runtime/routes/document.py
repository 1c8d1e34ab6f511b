"""`/openapi.json`: every path of this server, for people and for programs that make clients."""

from aiohttp import web

from berth_api.http_api import read_document


async def answer_document(request: web.Request) -> web.Response:  # noqa: ARG001 - the signature of a handler
    """The document, which is the same for every model."""
    return web.Response(body=read_document(), content_type="application/json")
