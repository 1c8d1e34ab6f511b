"""`/health`, `/health/live`, `/health/ready`, `/status`, `/metrics`: what machines look at. Never asks an engine."""

import orjson
from aiohttp import web

from berth_runtime.engines.protocol import Failure
from berth_runtime.routes.frame import SHUTTING_DOWN, render_error
from berth_runtime.routes.keys import CATALOG, DRAIN, METRICS
from berth_runtime.served import LOADING_RETRY_SECONDS
from berth_runtime.supervision import State


async def answer_live(request: web.Request) -> web.Response:  # noqa: ARG001 - the signature of a handler
    """200 while this process works: its loop has just proved it."""
    return web.json_response({"status": "live"})


async def answer_ready(request: web.Request) -> web.Response:
    """200 once every model has answered, and not while draining."""
    catalog = request.app[CATALOG]
    if request.app[DRAIN].draining:
        return render_error(request, SHUTTING_DOWN, retry_after_seconds=LOADING_RETRY_SECONDS)
    if not catalog.ready:
        waiting = [model for model in catalog.models.values() if model.life.state is not State.READY]
        said = "; ".join(
            f"{model.name} is {model.life.state.lower()}. {model.life.message}".strip() for model in waiting
        )
        return render_error(request, Failure(503, "model_loading", said), retry_after_seconds=LOADING_RETRY_SECONDS)
    return web.json_response({"status": "ready"})


async def answer_status(request: web.Request) -> web.Response:
    """Each model with its state, the reason of it, and what its start took."""
    status = request.app[CATALOG].render_status(draining=request.app[DRAIN].draining)
    return web.Response(body=orjson.dumps(status), content_type="application/json")


async def answer_metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    return web.Response(
        body=request.app[METRICS].render(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"}
    )
