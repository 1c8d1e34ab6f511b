"""The bodies of errors that Envoy itself answers, in OpenAI's form. Called by bootstrap.py.

Mappers go by Envoy's response flags where there is one: a mapper that goes by status alone would also rewrite the fixed
replies of the route table. Messages are fixed texts, since Envoy's own contain addresses.
"""

from collections.abc import Sequence
from typing import Any

from berth_api.openai_errors import ErrorCode, ErrorType, error_body


def local_reply_config(max_body_bytes: int) -> dict[str, Any]:
    """An `HttpConnectionManager.local_reply_config`. The first mapper that fits is used."""
    mebibytes = max_body_bytes / (1 << 20)
    return {
        "mappers": [
            _by_flags(
                ["UF", "UC", "UR", "LR"],
                502,
                "The engine failed before it answered, and so did the further tries. Try again.",
                ErrorCode.ENGINE_FAILED,
            ),
            _by_flags(["UT"], 504, "The engine sent no first byte in time.", ErrorCode.FIRST_BYTE_TIMEOUT),
            _by_flags(["SI"], 504, "The request was silent for too long.", ErrorCode.IDLE_TIMEOUT),
            _by_flags(
                ["UO"], 503, "The model has more requests than the gateway may send to it.", ErrorCode.OVERLOADED
            ),
            _by_flags(
                ["UH", "NC"], 503, "The model has no engine to answer now. Try again.", ErrorCode.MODEL_UNAVAILABLE
            ),
            _by_status(413, f"The body is larger than {mebibytes:g} MiB.", ErrorCode.REQUEST_TOO_LARGE),
            _by_status(
                403,
                "Connections are not upgraded here: there is plain HTTP and nothing else.",
                ErrorCode.UPGRADE_REFUSED,
            ),
            _by_status(408, "The request did not arrive in time.", ErrorCode.REQUEST_TIMEOUT),
            _by_status(431, "The request's headers are too large.", ErrorCode.HEADERS_TOO_LARGE),
        ]
    }


def _by_flags(flags: Sequence[str], status: int, message: str, code: ErrorCode) -> dict[str, Any]:
    mapper = _mapper({"response_flag_filter": {"flags": list(flags)}}, message, code, ErrorType.SERVER)
    return mapper | {"status_code": status}


def _by_status(status: int, message: str, code: ErrorCode) -> dict[str, Any]:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"berth.unused.{status}"}}
    return _mapper({"status_code_filter": {"comparison": comparison}}, message, code, ErrorType.INVALID_REQUEST)


def _mapper(condition: dict[str, Any], message: str, code: ErrorCode, kind: ErrorType) -> dict[str, Any]:
    body = {"json_format": error_body(message, kind=kind, code=code), "content_type": "application/json"}
    return {"filter": condition, "body_format_override": body}
