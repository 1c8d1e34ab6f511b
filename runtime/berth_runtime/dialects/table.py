"""Every API that chats are served in besides their own, by its path; and the form of errors at a path."""

from collections.abc import Mapping
from typing import Final

import orjson

from berth_api import anthropic_errors
from berth_runtime.dialects.messages import translate_messages
from berth_runtime.dialects.responses import translate_responses
from berth_runtime.dialects.translation import Translate
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai import errors

DIALECTS: Final[Mapping[str, Translate]] = {
    "/v1/responses": translate_responses,
    "/v1/messages": translate_messages,
}


def error_body_at(path: str, failure: Failure) -> bytes:
    """The JSON of an error, as whoever asks at this path reads it."""
    if anthropic_errors.is_anthropic(path):
        body = anthropic_errors.error_body(failure.message, status=failure.status, code=failure.code)
        return orjson.dumps(body)
    return errors.error_body(failure)
