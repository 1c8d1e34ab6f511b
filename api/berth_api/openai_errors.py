"""What a client behind one address reads when a request fails: one vocabulary for engines, gateway and agent. Pure.

Where OpenAI has a word, it is OpenAI's; client libraries and programs switch on them.
"""

from enum import StrEnum
from typing import Any, Final

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""The largest request body. Gateway and engine agree, or one would take what the other refuses."""


class ErrorType(StrEnum):
    """The `type` of an error: whose turn it is to change something."""

    INVALID_REQUEST = "invalid_request_error"
    RATE_LIMIT = "rate_limit_error"
    SERVER = "server_error"


class ErrorCode(StrEnum):
    """The `code` of an error. Words are added and never change."""

    # The request is wrong.
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    HEADERS_TOO_LARGE = "headers_too_large"
    INVALID_IMAGE = "invalid_image"
    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    INVALID_VALUE = "invalid_value"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MISSING_REQUIRED_PARAMETER = "missing_required_parameter"
    MODEL_NOT_FOUND = "model_not_found"
    OPERATION_NOT_SUPPORTED = "operation_not_supported"
    REQUEST_TIMEOUT = "request_timeout"
    REQUEST_TOO_LARGE = "request_too_large"
    UNKNOWN_URL = "unknown_url"
    UNSUPPORTED_CONTENT = "unsupported_content"
    UNSUPPORTED_OPERATION = "unsupported_operation"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    UPGRADE_REFUSED = "upgrade_refused"
    # The model can't answer now, or not at all.
    MODEL_FAILED = "model_failed"
    MODEL_LOADING = "model_loading"
    MODEL_SUSPENDED = "model_suspended"
    MODEL_UNAVAILABLE = "model_unavailable"
    NO_BACKEND = "no_backend"
    OVERLOADED = "overloaded"
    SHUTTING_DOWN = "shutting_down"
    # It was being answered.
    CLIENT_TOO_SLOW = "client_too_slow"
    ENGINE_DIED = "engine_died"
    ENGINE_ERROR = "engine_error"
    ENGINE_FAILED = "engine_failed"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    HTTP_ERROR = "http_error"
    IDLE_TIMEOUT = "idle_timeout"
    INTERNAL_ERROR = "internal_error"


def error_type(status: int) -> ErrorType:
    """The `type` that goes with an HTTP status."""
    if status == 429:
        return ErrorType.RATE_LIMIT
    return ErrorType.INVALID_REQUEST if status < 500 else ErrorType.SERVER


def error_body(
    message: str, *, kind: ErrorType = ErrorType.INVALID_REQUEST, param: str | None = None, code: str
) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`, as OpenAI's clients read it."""
    return {"error": {"message": message, "type": str(kind), "param": param, "code": str(code)}}
