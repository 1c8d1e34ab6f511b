"""Errors in the form of Anthropic's Messages API, for whoever asks at its path; pure.

`{"type": "error", "error": {"type", "message"}}` says less than OpenAI's form: the field stands in the message, and the
`type` goes by the HTTP status, which is the same for both.
"""

from collections.abc import Mapping
from typing import Any, Final

from berth_api.openai_errors import ErrorCode

PATH: Final = "/v1/messages"

_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# By these words, clients know that they have to shorten the conversation.
_TOO_LONG: Final = "prompt is too long: "


def is_anthropic(path: str) -> bool:
    """Whether who asks at this path reads Anthropic's form."""
    return path == PATH or path.startswith(f"{PATH}/")


def error_type(status: int) -> str:
    """The `type` that goes with an HTTP status."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def error_body(message: str, *, status: int, code: str = "") -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}}`."""
    if code == ErrorCode.CONTEXT_LENGTH_EXCEEDED:
        message = _TOO_LONG + message
    return {"type": "error", "error": {"type": error_type(status), "message": message}}
