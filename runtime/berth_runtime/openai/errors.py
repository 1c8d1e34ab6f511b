"""Errors in OpenAI's form, `{"error": {"message", "type", "param", "code"}}`: every answer that is no success."""

import orjson

from berth_api import openai_errors
from berth_api.errors import BerthError
from berth_api.openai_errors import ErrorCode
from berth_runtime.engines.protocol import Failure


class ApiError(BerthError):
    """A request that is refused or failed before its first byte; `failure` is what the client gets."""

    def __init__(self, failure: Failure, *, retry_after_seconds: float | None = None) -> None:
        self.failure = failure
        self.retry_after_seconds = retry_after_seconds
        super().__init__(failure.message)


def refuse(message: str, *, param: str | None, code: str = ErrorCode.INVALID_VALUE, status: int = 400) -> ApiError:
    """A fault of the request, to be raised."""
    return ApiError(Failure(status, code, message, param))


def error_body(failure: Failure) -> bytes:
    """The JSON of an error: a whole body, or the data of an SSE event."""
    kind = openai_errors.error_type(failure.status)
    return orjson.dumps(openai_errors.error_body(failure.message, kind=kind, param=failure.param, code=failure.code))
