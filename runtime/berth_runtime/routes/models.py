"""`/v1/models` and `/v1/models/{id}`."""

from aiohttp import web

from berth_runtime.routes.keys import CATALOG


async def answer_models(request: web.Request) -> web.Response:
    """Every model with its adapters, also one that is still loading."""
    catalog = request.app[CATALOG]
    return web.json_response({"object": "list", "data": [catalog.render_model(name) for name in catalog.served]})


async def answer_model(request: web.Request) -> web.Response:
    """One model, or 404 with close names."""
    catalog = request.app[CATALOG]
    return web.json_response(catalog.render_model(catalog.find(request.match_info["id"]).name))
