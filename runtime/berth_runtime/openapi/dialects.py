"""JSON schemas of chats in the words of other APIs: the bodies of requests, what is answered, what is streamed."""

from collections.abc import Mapping
from typing import Any, Final

from berth_runtime.dialects import messages, messages_blocks, responses, responses_items
from berth_runtime.openai.checks import Schema
from berth_runtime.openai.prompts import MAX_MESSAGES
from berth_runtime.openapi.answers import COUNT, TEXT, listed, some
from berth_runtime.openapi.requests import MODEL, field_schemas, many

Json = dict[str, Any]

_PARTS: Final[Schema] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
_ITEM: Final[Schema] = {
    "type": "object",
    "properties": {
        "type": {"enum": list(responses_items.ITEMS)},
        "role": {"enum": list(responses_items.ROLES)},
        "content": _PARTS,
        "call_id": {"type": "string"},
        "name": {"type": "string"},
        "arguments": {"type": "string"},
        "output": _PARTS,
    },
    "description": "Messages of "
    + ", ".join(responses_items.TEXT_PARTS[:2])
    + " and input_image (a data URL), calls, and what they came to. Items of the type reasoning are left out.",
}
_MESSAGE: Final[Schema] = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"enum": list(messages_blocks.ROLES)}, "content": _PARTS},
    "description": "Blocks are "
    + ", ".join(messages_blocks.BLOCKS)
    + ". Pictures are base64 or data URLs; what was thought before is left out.",
}
_SYSTEM: Final[Schema] = {**_PARTS, "description": "What the system says first: a text, or blocks of text."}
_ANY_TEXT: Final[Schema] = {"type": ["string", "null"]}
_ANY_NUMBER: Final[Schema] = {"type": ["number", "null"]}


def responses_request_schema() -> Json:
    """The body of `/v1/responses`."""
    subject = {"anyOf": [{"type": "string"}, many(_ITEM, MAX_MESSAGES)]}
    properties = {"model": MODEL, responses.SUBJECT: subject, **field_schemas(responses.FIELDS)}
    return {"type": "object", "required": [responses.SUBJECT], "properties": properties}


def messages_request_schema() -> Json:
    """The body of `/v1/messages`."""
    subjects = {"messages": many(_MESSAGE, MAX_MESSAGES), "system": _SYSTEM}
    properties = {"model": MODEL, **subjects, **field_schemas(messages.FIELDS)}
    return {"type": "object", "required": ["messages", "max_tokens"], "properties": properties}


def _item(kind: str, more: Mapping[str, Schema]) -> Json:
    status = {"enum": ["in_progress", "completed", "incomplete"]}
    return some({"id": TEXT, "type": {"const": kind}, "status": status, **more})


def _thought() -> Json:
    part = some({"type": {"const": "reasoning_text"}, "text": TEXT})
    return _item("reasoning", {"summary": {"type": "array", "maxItems": 0}, "content": listed(part)})


def _said() -> Json:
    nothing = {"type": "array", "maxItems": 0}
    part = some({"type": {"const": "output_text"}, "text": TEXT, "annotations": nothing, "logprobs": nothing})
    return _item("message", {"role": {"const": "assistant"}, "content": listed(part)})


def _called() -> Json:
    return _item("function_call", {"call_id": TEXT, "name": TEXT, "arguments": TEXT})


def _block(kind: str, *more: str) -> Json:
    return some({"type": {"const": kind}, kind: TEXT, **dict.fromkeys(more, TEXT)})


def _tool_use() -> Json:
    return some({"type": {"const": "tool_use"}, "id": TEXT, "name": TEXT, "input": {"type": "object"}})


SCHEMAS: Final[Mapping[str, Schema]] = {
    "Response": some(
        {
            "id": TEXT,
            "object": {"const": "response"},
            "created_at": COUNT,
            "status": {"enum": ["in_progress", "completed", "incomplete", "failed"]},
            "error": {"anyOf": [some({"code": TEXT, "message": TEXT}), {"type": "null"}]},
            "incomplete_details": {"anyOf": [some({"reason": TEXT}), {"type": "null"}]},
            "model": TEXT,
            "output": {
                **listed({"anyOf": [_thought(), _said(), _called()]}),
                "description": "In the order of their making.",
            },
            "usage": {
                "anyOf": [
                    some(
                        {
                            "input_tokens": COUNT,
                            "input_tokens_details": some({"cached_tokens": COUNT, "cache_write_tokens": COUNT}),
                            "output_tokens": COUNT,
                            "output_tokens_details": some({"reasoning_tokens": COUNT}),
                            "total_tokens": COUNT,
                        }
                    ),
                    {"type": "null"},
                ],
                "description": "The details are 0: nobody counts them here.",
            },
            "background": {"const": False},
            "instructions": _ANY_TEXT,
            "max_output_tokens": {"type": ["integer", "null"]},
            "metadata": {"type": "object"},
            "parallel_tool_calls": {"type": "boolean"},
            "previous_response_id": {"type": "null"},
            "reasoning": some({"effort": _ANY_TEXT, "summary": {"type": "null"}}),
            "store": {"const": False},
            "temperature": _ANY_NUMBER,
            "text": {"type": "object"},
            "tool_choice": {"anyOf": [TEXT, {"type": "object"}]},
            "tools": listed({"type": "object"}),
            "top_p": _ANY_NUMBER,
            "truncation": {"const": "disabled"},
            "user": _ANY_TEXT,
        }
    ),
    "ResponseEvent": some(
        {
            "type": {
                "type": "string",
                "description": "`response.created`, `response.output_text.delta` and so on, as in OpenAI's API; also "
                "the name of the event.",
            },
            "sequence_number": COUNT,
        }
    ),
    "Message": some(
        {
            "id": TEXT,
            "type": {"const": "message"},
            "role": {"const": "assistant"},
            "model": TEXT,
            "content": listed({"anyOf": [_block("thinking", "signature"), _block("text"), _tool_use()]}),
            "stop_reason": {
                "type": ["string", "null"],
                "description": "`end_turn`, `max_tokens`, `tool_use`; `stop_sequence` where the engine tells (vLLM).",
            },
            "stop_sequence": _ANY_TEXT,
            "usage": some({"input_tokens": COUNT, "output_tokens": COUNT}),
        }
    ),
    "MessageEvent": some(
        {
            "type": {
                "type": "string",
                "description": "`message_start`, `content_block_delta` and so on, as in Anthropic's API; also the name "
                "of the event.",
            }
        }
    ),
    "AnthropicError": some({"type": {"const": "error"}, "error": some({"type": TEXT, "message": TEXT})}),
}
