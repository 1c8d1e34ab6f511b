"""The `messages` and `system` of a Messages request, block by block, as the messages of a chat."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from berth_api.openai_errors import ErrorCode
from berth_runtime.dialects.conversation import Conversation, Part, picture_part, text_part
from berth_runtime.dialects.fields import each_object, require_object, require_text, unsupported_content
from berth_runtime.openai.errors import refuse

Json = dict[str, Any]

ROLES: Final = ("user", "assistant", "system")
BLOCKS: Final = ("text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking")
MEDIA_TYPES: Final = ("image/png", "image/jpeg")
# A line for Anthropic's accounts, other in each request; a model would have to read all after it anew.
_BILLING: Final = "x-anthropic-billing-header"


def read_system(value: object, conversation: Conversation) -> None:
    """Put what the system says first into the conversation; raises `ApiError` with the path of what is wrong."""
    if value is not None:
        _say(conversation, "system", _read_texts(value, "system"), "system")


def read_messages(value: object, conversation: Conversation) -> None:
    """Put the messages into the conversation; raises `ApiError` with the path of what is wrong."""
    if not isinstance(value, list) or not value:
        raise refuse("'messages' has to be a list with at least one message.", param="messages")
    for path, message in each_object(value, "messages", "messages"):
        _read_message(message, path, conversation)


def _read_message(message: Json, path: str, conversation: Conversation) -> None:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise refuse(f"'{path}.role' has to be one of {', '.join(ROLES)}.", param=f"{path}.role")
    at = f"{path}.content"
    if role == "system":
        # Many templates take a system's message only as the first, so a later one is told to the model by the user.
        _say(conversation, "user" if conversation.has_begun else "system", _read_texts(content, at), path)
    elif isinstance(content, str):
        conversation.say(role, [text_part(content, at)], path)
    elif isinstance(content, list):
        _read_blocks(content, role, at, conversation)
        if not content:
            conversation.say(role, [], path)
    else:
        raise refuse(f"'{at}' has to be a text or a list of blocks.", param=at)


def _read_blocks(blocks: list[object], role: str, path: str, conversation: Conversation) -> None:
    for index, each in enumerate(blocks):
        at = f"{path}[{index}]"
        block = require_object(each, at)
        match block.get("type"), role:
            case "text" | "image", _:
                conversation.say(role, [_read_part(block, at)], path.removesuffix(".content"))
            case "tool_use", "assistant":
                conversation.call(
                    require_text(block.get("id"), f"{at}.id", empty=False),
                    require_text(block.get("name"), f"{at}.name", empty=False),
                    _write_arguments(require_object(block.get("input"), f"{at}.input")),
                    at,
                )
            case "tool_result", "user":
                call_id = require_text(block.get("tool_use_id"), f"{at}.tool_use_id", empty=False)
                conversation.answer_call(call_id, _read_result(block.get("content"), f"{at}.content"), at)
            case "thinking" | "redacted_thinking", "assistant":
                pass  # what a model thought of an earlier answer is not shown to it again
            case kind, _:
                able = f"A block is one of {', '.join(BLOCKS)} here, and calls are the assistant's, results the user's."
                raise unsupported_content(f"{at}.type", str(kind), able)


def _say(conversation: Conversation, role: str, parts: Iterator[Part], path: str) -> None:
    """What a system says, if it is anything."""
    said = list(parts)
    if said:
        conversation.say(role, said, path)


def _read_texts(value: object, path: str) -> Iterator[Part]:
    if isinstance(value, str):
        value = [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise refuse(f"'{path}' has to be a text or a list of blocks of text.", param=path)
    for index, each in enumerate(value):
        at = f"{path}[{index}]"
        block = require_object(each, at)
        if block.get("type") != "text":
            raise unsupported_content(f"{at}.type", str(block.get("type")), "The system speaks in text.")
        text = require_text(block.get("text"), f"{at}.text")
        if text and not text.startswith(_BILLING):
            yield text_part(text, at)


def _read_result(content: object, path: str) -> Iterator[Part]:
    if content is None:
        return
    if isinstance(content, str):
        yield text_part(content, path)
        return
    if not isinstance(content, list):
        raise refuse(f"'{path}' has to be a text or a list of blocks.", param=path)
    for index, each in enumerate(content):
        at = f"{path}[{index}]"
        block = require_object(each, at)
        if block.get("type") not in ("text", "image"):
            raise unsupported_content(f"{at}.type", str(block.get("type")), "A result is of text and image here.")
        yield _read_part(block, at)


def _read_part(block: Json, path: str) -> Part:
    if block["type"] == "text":
        return text_part(require_text(block.get("text"), f"{path}.text"), path)
    at = f"{path}.source"
    source = require_object(block.get("source"), at)
    match source.get("type"):
        case "base64":
            media_type = source.get("media_type")
            if media_type not in MEDIA_TYPES:
                words = " or ".join(MEDIA_TYPES)
                raise refuse(
                    f"'{at}.media_type' has to be {words}: other pictures are not read here.",
                    param=f"{at}.media_type",
                    code=ErrorCode.UNSUPPORTED_CONTENT,
                )
            data = require_text(source.get("data"), f"{at}.data", empty=False)
            return picture_part(f"data:{media_type};base64,{data}", path, f"{at}.data")
        case "url":
            return picture_part(source.get("url"), path, f"{at}.url")
    remedy = "A picture is of the type base64 here; nothing is kept from one request to the next."
    raise unsupported_content(f"{at}.type", str(source.get("type")), remedy)


def _write_arguments(arguments: Json) -> str:
    try:
        return orjson.dumps(arguments).decode()
    except TypeError as error:
        message = f"The body is nested too deeply: {error}."
        raise refuse(message, param=None, code=ErrorCode.INVALID_JSON) from error
