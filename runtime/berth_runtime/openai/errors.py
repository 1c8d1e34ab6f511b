"""Errors in OpenAI's form, `{"error": {"message", "type", "param", "code"}}`: every answer that is no success."""

import orjson

from berth_api.errors import BerthError
from berth_runtime.engines.protocol import Failure


class ApiError(BerthError):
    """A request that is refused or failed before its first byte; `failure` is what the client gets."""

    def __init__(self, failure: Failure, *, retry_after_seconds: float | None = None) -> None:
        self.failure = failure
        self.retry_after_seconds = retry_after_seconds
        super().__init__(failure.message)


def refuse(message: str, *, param: str | None, code: str = "invalid_value", status: int = 400) -> ApiError:
    """A fault of the request, to be raised."""
    return ApiError(Failure(status, code, message, param))


def error_type(status: int) -> str:
    """The `type` that goes with a status."""
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def error_body(failure: Failure) -> bytes:
    """The JSON of an error: a whole body, or the data of an SSE event."""
    error = {
        "message": failure.message,
        "type": error_type(failure.status),
        "param": failure.param,
        "code": failure.code,
    }
    return orjson.dumps({"error": error})
