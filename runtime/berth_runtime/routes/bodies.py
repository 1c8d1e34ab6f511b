"""What every request that works on a model begins with: its body, and whom it is for."""

from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from berth_api.openai_errors import MAX_BODY_BYTES, ErrorCode
from berth_runtime.engines.protocol import Capabilities, Operation
from berth_runtime.openai.errors import refuse
from berth_runtime.openai.models import await_adapter
from berth_runtime.openai.parameters import Parameters, read_parameters
from berth_runtime.routes.keys import CATALOG, IGNORED, MODEL
from berth_runtime.served import Served

Json = dict[str, Any]
MODEL_HEADER: Final = "x-berth-model"


@dataclass(frozen=True)
class Asked:
    """A request whose fields are known to be right, but for what it is about."""

    body: Json
    model: Served
    capabilities: Capabilities
    given: Json


async def read_asked(request: web.Request, operation: Operation) -> Asked:
    """The request, if its model is there and does such work. Raises `ApiError`."""
    body = await read_body(request)
    model = find_model(request, body)
    capabilities = model.require_running().capabilities
    return Asked(body, model, capabilities, take_parameters(request, body, operation, capabilities).given)


async def read_body(request: web.Request) -> Json:
    """The body as an object; of a key that stands in it twice the last counts. Raises `ApiError`."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, request.content_length or 0)
    raw = await request.read()
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise refuse(f"The body is not JSON: {error}.", param=None, code=ErrorCode.INVALID_JSON) from error
    if not isinstance(body, dict):
        raise refuse("The body has to be a JSON object.", param=None, code=ErrorCode.INVALID_JSON)
    return body


def encode_body(body: Json) -> bytes:
    """The body for the engine; raises `ApiError` for what can be read but not written again."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise refuse(f"The body is nested too deeply: {error}.", param=None, code="invalid_json") from error


def find_model(request: web.Request, body: Json) -> Served:
    """Whom the request is for: the gateway's word wins over the client's, which may be an alias."""
    catalog, by_gateway = request.app[CATALOG], request.headers.get(MODEL_HEADER)
    if by_gateway:
        await_adapter(by_gateway, catalog.served)
    model = catalog.find(by_gateway or body.get("model"))
    request[MODEL] = model.name
    return model


def take_parameters(request: web.Request, body: Json, operation: Operation, capabilities: Capabilities) -> Parameters:
    """The request's parameters, if the model does such work at all."""
    require_operation(request, operation, capabilities)
    parameters = read_parameters(body, operation, capabilities)
    request[IGNORED] = parameters.ignored
    return parameters


def require_operation(request: web.Request, operation: Operation, capabilities: Capabilities) -> None:
    """Raise `ApiError` where the model does other work."""
    if operation not in capabilities.parameters:
        able = ", ".join(sorted(capabilities.parameters)) or "nothing"
        raise refuse(
            f"The model {request[MODEL]!r} does not serve {operation} requests; it serves {able}.",
            param="model",
            code=ErrorCode.OPERATION_NOT_SUPPORTED,
            status=404,
        )
