"""What a request is about: messages, prompts, inputs, texts. Checked here, so that an engine sees only what can be."""

from typing import Any, Final

from berth_runtime.openai.chat_pictures import check_number, read_picture
from berth_runtime.openai.checks import is_integer
from berth_runtime.openai.errors import refuse

Json = dict[str, Any]
Inputs = tuple[str, ...] | tuple[tuple[int, ...], ...]

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
MAX_MESSAGES: Final = 4096
MAX_PROMPTS: Final = 128
MAX_INPUTS: Final = 2048
MAX_TOKEN_ID: Final = (1 << 31) - 1


def read_messages(value: object, *, pictures: bool = False) -> list[Json]:
    """The messages of a chat, each with a role and a content of text, and of `pictures` where the model reads them."""
    if not isinstance(value, list) or not value:
        raise refuse("'messages' has to be a list with at least one message.", param="messages")
    if len(value) > MAX_MESSAGES:
        raise refuse(f"'messages' has {len(value)} messages, at most {MAX_MESSAGES} are taken.", param="messages")
    messages = [_read_message(message, f"messages[{index}]", pictures) for index, message in enumerate(value)]
    check_number(messages)
    return messages


def read_prompt(value: object) -> tuple[object, int]:
    """The prompt of a completion as it was given, and how many prompts it is."""
    if isinstance(value, str) and value:
        return value, 1
    if isinstance(value, list) and value:
        if _are_tokens(value):
            return value, 1
        if len(value) > MAX_PROMPTS:
            raise refuse(f"'prompt' has {len(value)} prompts, at most {MAX_PROMPTS} are taken.", param="prompt")
        if all((isinstance(each, str) and each) or (_are_tokens(each) and each) for each in value):
            return value, len(value)
    raise refuse(
        "'prompt' has to be a text, a list of texts, a list of token ids, or a list of those, and not empty.",
        param="prompt",
    )


def read_inputs(value: object) -> Inputs:
    """The inputs of an embedding request, as a tuple of texts or of token ids."""
    if isinstance(value, str) and value:
        return (value,)
    if isinstance(value, list) and value:
        if _are_tokens(value):
            return (tuple(value),)
        return _read_many_inputs(value)
    raise refuse(
        "'input' has to be a text, a list of texts, a list of token ids, or a list of those, and not empty.",
        param="input",
    )


def read_text(value: object, path: str) -> str:
    """One text; raises `ApiError` with its path for anything else, and for an empty one."""
    if not isinstance(value, str) or not value:
        raise refuse(f"{path!r} has to be a text that is not empty.", param=path)
    return value


def read_list(value: object, path: str, *, most: int) -> list[object]:
    """A list that is neither empty nor too long; raises `ApiError` with its path."""
    if not isinstance(value, list) or not value:
        raise refuse(f"{path!r} has to be a list that is not empty.", param=path)
    if len(value) > most:
        raise refuse(f"{path!r} has {len(value)} entries, at most {most} are taken at once.", param=path)
    return value


def _read_many_inputs(values: list[Any]) -> Inputs:
    if len(values) > MAX_INPUTS:
        raise refuse(f"'input' has {len(values)} inputs, at most {MAX_INPUTS} are taken at once.", param="input")
    wanted = str if isinstance(values[0], str) else list
    for index, each in enumerate(values):
        if not each or not isinstance(each, wanted) or (wanted is list and not _are_tokens(each)):
            raise refuse(
                f"'input[{index}]' has to be a text or a list of token ids, not empty, and as the first.",
                param=f"input[{index}]",
            )
    return tuple(values) if wanted is str else tuple(tuple(each) for each in values)


def _read_message(message: object, path: str, pictures: bool) -> Json:
    if not isinstance(message, dict):
        raise refuse(f"'{path}' has to be an object.", param=path)
    role = message.get("role")
    if role not in ROLES:
        raise refuse(f"'{path}.role' has to be one of {', '.join(ROLES)}.", param=f"{path}.role")
    return {**message, "content": _read_content(message.get("content"), role, f"{path}.content", pictures)}


def _read_content(content: object, role: str, path: str, pictures: bool) -> str | list[Json]:
    """An answer that was only calls has none, and clients send it back like that."""
    if content == [] or (content is None and role == "assistant"):
        return ""
    if isinstance(content, list):
        return [_read_part(part, f"{path}[{index}]", pictures) for index, part in enumerate(content)]
    if not isinstance(content, str):
        raise refuse(f"'{path}' has to be a text or a list of parts.", param=path)
    return content


def _read_part(part: object, path: str, pictures: bool) -> Json:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise refuse(f"'{path}' has to be an object with a type.", param=path)
    if part["type"] == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "text", "text": part["refusal"]}
    if part["type"] == "image_url" and pictures:
        return read_picture(part, path)
    if part["type"] != "text":
        raise refuse(
            f"'{path}.type' is {part['type']!r}; this model takes only text{' and pictures' if pictures else ''}.",
            param=f"{path}.type",
            code="unsupported_content",
        )
    if not isinstance(part.get("text"), str):
        raise refuse(f"'{path}.text' has to be a text.", param=f"{path}.text")
    return part


def _are_tokens(values: object) -> bool:
    return isinstance(values, list) and all(is_integer(value, 0, MAX_TOKEN_ID) for value in values)
