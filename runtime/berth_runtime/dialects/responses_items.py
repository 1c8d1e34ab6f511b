"""The `input` of a Responses request, item by item, as the messages of a chat."""

from collections.abc import Iterator
from typing import Any, Final

from berth_runtime.dialects.conversation import Conversation, Part, picture_part, text_part
from berth_runtime.dialects.fields import each_object, require_object, require_text, unsupported_content
from berth_runtime.openai.errors import refuse

Json = dict[str, Any]

ROLES: Final = ("user", "assistant", "system", "developer")
ITEMS: Final = ("message", "function_call", "function_call_output", "reasoning")
TEXT_PARTS: Final = ("input_text", "output_text", "text")
_NO_MEMORY: Final = "Nothing is kept here from one request to the next: send the item itself."


def read_input(value: object, conversation: Conversation) -> None:
    """Put the whole input into the conversation; raises `ApiError` with the path of what is wrong."""
    if isinstance(value, str):
        conversation.say("user", [text_part(value, "input")], "input")
        return
    if not isinstance(value, list) or not value:
        raise refuse("'input' has to be a text, or a list with at least one item.", param="input")
    for path, item in each_object(value, "input", "items"):
        _read_item(item, path, conversation)


def _read_item(item: Json, path: str, conversation: Conversation) -> None:
    match item.get("type", "message"):
        case "message":
            role = item.get("role")
            if role not in ROLES:
                raise refuse(f"'{path}.role' has to be one of {', '.join(ROLES)}.", param=f"{path}.role")
            parts = _read_content(item.get("content"), f"{path}.content", pictures=role == "user")
            conversation.say("system" if role == "developer" else role, parts, path)
        case "function_call":
            conversation.call(
                require_text(item.get("call_id"), f"{path}.call_id", empty=False),
                require_text(item.get("name"), f"{path}.name", empty=False),
                require_text(item.get("arguments"), f"{path}.arguments"),
                path,
            )
        case "function_call_output":
            call_id = require_text(item.get("call_id"), f"{path}.call_id", empty=False)
            conversation.answer_call(call_id, _read_content(item.get("output"), f"{path}.output", pictures=True), path)
        case "reasoning":
            pass  # what a model thought of an earlier answer is not shown to it again
        case "item_reference":
            raise unsupported_content(f"{path}.type", "item_reference", _NO_MEMORY)
        case other:
            raise unsupported_content(f"{path}.type", str(other), f"An item is one of {', '.join(ITEMS)} here.")


def _read_content(content: object, path: str, *, pictures: bool) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content, path)]
    if not isinstance(content, list):
        raise refuse(f"'{path}' has to be a text or a list of parts.", param=path)
    return list(_read_parts(content, path, pictures))


def _read_parts(content: list[object], path: str, pictures: bool) -> Iterator[Part]:
    for index, each in enumerate(content):
        at = f"{path}[{index}]"
        part = require_object(each, at)
        kind = part.get("type")
        if kind in TEXT_PARTS:
            yield text_part(require_text(part.get("text"), f"{at}.text"), at)
        elif kind == "refusal":
            yield text_part(require_text(part.get("refusal"), f"{at}.refusal"), at)
        elif kind == "input_image" and pictures:
            yield _read_picture(part, at)
        else:
            able = "input_text, and input_image of a user" if pictures else "input_text or output_text"
            raise unsupported_content(f"{at}.type", str(kind), f"A part is {able} here.")


def _read_picture(part: Json, path: str) -> Part:
    if part.get("file_id") is not None:
        raise refuse(
            f"'{path}.file_id' is a file that was sent before, and nothing is kept here. Send the picture as a data "
            f"URL in '{path}.image_url'.",
            param=f"{path}.file_id",
            code="unsupported_content",
        )
    return picture_part(part.get("image_url"), path, f"{path}.image_url")
