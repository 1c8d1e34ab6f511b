"""The bodies of errors that Envoy itself answers, in OpenAI's form. Called by bootstrap.py.

Mappers go by Envoy's response flags where there is one: a mapper that goes by status alone would also rewrite the fixed
replies of the route table. Messages are fixed texts, since Envoy's own contain addresses.
"""

from collections.abc import Sequence
from typing import Any

from berth_gateway.errors import INVALID_REQUEST, UNAVAILABLE, error_body


def local_reply_config(max_body_bytes: int) -> dict[str, Any]:
    """An `HttpConnectionManager.local_reply_config`. The first mapper that fits is used."""
    mebibytes = max_body_bytes / (1 << 20)
    return {
        "mappers": [
            _by_flags(
                ["UF", "UC", "UR", "LR"],
                502,
                "The engine failed before it answered, and so did the further tries. Try again.",
                "engine_failed",
            ),
            _by_flags(["UT"], 504, "The engine sent no first byte in time.", "first_byte_timeout"),
            _by_flags(["SI"], 504, "The request was silent for too long.", "idle_timeout"),
            _by_flags(["UO"], 503, "The model has more requests than the gateway may send to it.", "overloaded"),
            _by_flags(["UH", "NC"], 503, "The model has no engine to answer now. Try again.", "model_unavailable"),
            _by_status(413, f"The body is larger than {mebibytes:g} MiB.", "body_too_large"),
            _by_status(
                403, "Connections are not upgraded here: there is plain HTTP and nothing else.", "upgrade_refused"
            ),
            _by_status(408, "The request did not arrive in time.", "request_timeout"),
            _by_status(431, "The request's headers are too large.", "headers_too_large"),
        ]
    }


def _by_flags(flags: Sequence[str], status: int, message: str, code: str) -> dict[str, Any]:
    mapper = _mapper({"response_flag_filter": {"flags": list(flags)}}, message, code, UNAVAILABLE)
    return mapper | {"status_code": status}


def _by_status(status: int, message: str, code: str) -> dict[str, Any]:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"berth.unused.{status}"}}
    return _mapper({"status_code_filter": {"comparison": comparison}}, message, code, INVALID_REQUEST)


def _mapper(condition: dict[str, Any], message: str, code: str, kind: str) -> dict[str, Any]:
    body = {"json_format": error_body(message, code=code, kind=kind), "content_type": "application/json"}
    return {"filter": condition, "body_format_override": body}
