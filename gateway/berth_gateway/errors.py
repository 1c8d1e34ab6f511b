"""Error bodies in OpenAI's form, one constructor for all: Envoy's own replies and the agent's answers read alike."""

from typing import Any

INVALID_REQUEST = "invalid_request_error"
UNAVAILABLE = "server_error"


def error_body(message: str, *, code: str, kind: str = INVALID_REQUEST, param: str | None = None) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`, as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
