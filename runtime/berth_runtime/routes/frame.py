"""What stands around every request: errors in the form of its path, the refusal while draining, counting, the log.

The form is OpenAI's wherever no other API is asked.
"""

import logging
import math
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from berth_api.http_api import why_not_served
from berth_api.openai_errors import MAX_BODY_BYTES, ErrorCode
from berth_runtime import drain as draining
from berth_runtime.dialects.table import error_body_at
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError
from berth_runtime.routes.keys import DRAIN, METRICS, MODEL, STARTED

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLIENT_LEFT: Final = 499
SHUTTING_DOWN: Final = Failure(
    503, ErrorCode.SHUTTING_DOWN, "This server is shutting down. Try again: another one will answer."
)

log = logging.getLogger(__name__)


@web.middleware
async def openai_frame(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Work (every POST) is counted, and refused while draining; probes and lists are always answered."""
    request[STARTED] = time.monotonic()
    if request.method != "POST":
        return await answer_or_error(request, handler)
    drain, status = request.app[DRAIN], CLIENT_LEFT
    if drain.draining:
        return refuse_while_draining(request)
    drain.enter()
    try:
        response = await answer_or_error(request, handler)
        status = response.status
        return response
    finally:
        drain.leave()
        count_request(request, status)


async def answer_or_error(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's answer, or its error in the form of the path."""
    try:
        return await handler(request)
    except ApiError as error:
        return render_error(request, error.failure, retry_after_seconds=error.retry_after_seconds)
    except web.HTTPException as error:
        return render_http_error(request, error)
    except ConnectionError:
        raise  # the client has gone; there is nobody to tell
    except Exception:  # outermost, for one request's bug is not the others'
        log.exception("bug", extra={"path": request.path})
        bug = Failure(500, ErrorCode.INTERNAL_ERROR, "The server failed on this request; its log has the reason.")
        return render_error(request, bug)


def render_error(request: web.Request, failure: Failure, *, retry_after_seconds: float | None = None) -> web.Response:
    """A whole answer with an error."""
    body = error_body_at(request.path, failure)
    response = web.Response(status=failure.status, body=body, content_type="application/json")
    if retry_after_seconds is not None:
        response.headers["retry-after"] = str(math.ceil(retry_after_seconds))
    return response


def render_http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    """What aiohttp itself refuses: no such path, wrong method, body too large."""
    match error:
        case web.HTTPNotFound():
            unknown = f"There is nothing at {request.method} {request.path[:200]}."
            failure = Failure(404, ErrorCode.UNKNOWN_URL, why_not_served(request.path) or unknown)
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            failure = Failure(
                405, ErrorCode.METHOD_NOT_ALLOWED, f"{request.path[:200]} takes {allowed}, not {request.method}."
            )
        case web.HTTPRequestEntityTooLarge():
            failure = Failure(413, ErrorCode.REQUEST_TOO_LARGE, f"The body is larger than {MAX_BODY_BYTES >> 20} MiB.")
        case _:
            failure = Failure(error.status, ErrorCode.HTTP_ERROR, error.reason or HTTPStatus(error.status).phrase)
    response = render_error(request, failure)
    if "allow" in error.headers:
        response.headers["allow"] = error.headers["allow"]
    return response


def refuse_while_draining(request: web.Request) -> web.Response:
    """To be tried at another replica, on another connection."""
    response = render_error(request, SHUTTING_DOWN, retry_after_seconds=draining.RETRY_AFTER_SECONDS)
    response.force_close()
    return response


def count_request(request: web.Request, status: int) -> None:
    """Metrics, and the log if it is asked for."""
    seconds = time.monotonic() - request[STARTED]
    resource = request.match_info.route.resource
    endpoint = resource.canonical if resource is not None else "unknown"
    model = request.get(MODEL, "")
    request.app[METRICS].count_request(model=model, endpoint=endpoint, code=status, seconds=seconds)
    log.debug(
        "request", extra={"model": model, "endpoint": endpoint, "status": status, "milliseconds": round(seconds * 1000)}
    )
