"""A request of OpenAI's Responses API as a chat. The whole conversation comes with each request: nothing is stored.

Fields and their meaning: openai.types.responses.response_create_params.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from berth_api.openai_errors import ErrorCode
from berth_runtime.dialects.conversation import Conversation, text_part
from berth_runtime.dialects.fields import read_fields, require_object, require_text, unsupported_content
from berth_runtime.dialects.names import Names
from berth_runtime.dialects.responses_answer import ResponsesForm
from berth_runtime.dialects.responses_items import read_input
from berth_runtime.dialects.translation import Translation, stream_fields
from berth_runtime.openai.checks import (
    WHO_ASKS,
    Field,
    boolean,
    described,
    inert,
    integer,
    mapping,
    number,
    sequence,
    unserved,
)
from berth_runtime.openai.errors import refuse

Json = dict[str, Any]

SUBJECT: Final = "input"
MAX_PAIRS: Final = 16
MAX_NAME: Final = 64
MAX_VALUE: Final = 512
# What may be asked to be included and is not there to be included: no thinking is ever encrypted here.
NOTHING_TO_INCLUDE: Final = ("reasoning.encrypted_content",)

_SEND_ALL: Final = "Nothing is kept here from one request to the next: send the whole conversation as 'input'."


def _is_metadata(value: dict[str, object]) -> bool:
    return len(value) <= MAX_PAIRS and all(
        len(name) <= MAX_NAME and isinstance(text, str) and len(text) <= MAX_VALUE for name, text in value.items()
    )


def _is_tool_choice(value: object) -> bool:
    return isinstance(value, dict) or value in ("none", "auto", "required")


FIELDS: Final[Mapping[str, Field]] = {
    **WHO_ASKS,
    "instructions": Field(
        "a text",
        lambda value: isinstance(value, str),
        schema={"type": "string", "description": "What the system says, before the input."},
    ),
    "max_output_tokens": integer(1),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "stream": boolean(),
    "tools": sequence("a list of objects with type function and name", lambda _: True),
    "tool_choice": Field(
        "none, auto, required, or an object with type function and name",
        _is_tool_choice,
        schema={"anyOf": [{"enum": ["none", "auto", "required"]}, {"type": "object", "required": ["type", "name"]}]},
    ),
    "parallel_tool_calls": boolean(),
    "text": mapping("an object with format, of type text, json_object, or json_schema with schema", lambda _: True),
    "reasoning": mapping(
        "an object; effort may be none, which asks a model that thinks not to, where its chat template can be asked",
        lambda _: True,
    ),
    "include": sequence("a list, empty or with reasoning.encrypted_content, of which there is none", lambda _: True),
    "metadata": mapping(
        f"an object of up to {MAX_PAIRS} texts of up to {MAX_VALUE} characters, with names of up to {MAX_NAME}; "
        "it comes back with the answer",
        _is_metadata,
    ),
    "store": described(boolean(), "Nothing is ever stored: the answer says false whatever was asked."),
    "max_tool_calls": inert(),  # counts calls of hosted tools, of which there are none
    "stream_options": inert(),  # include_obfuscation: events are not padded
    "background": unserved(False, remedy="Nothing is kept here: wait for the answer, or have it streamed."),
    "context_management": unserved([], remedy="Shorten the conversation before it is sent."),
    "conversation": unserved(remedy=_SEND_ALL),
    "moderation": unserved(),
    "previous_response_id": unserved(remedy=_SEND_ALL),
    "prompt": unserved(remedy="Nothing is kept here: send the prompt itself as 'instructions' and 'input'."),
    "top_logprobs": unserved(0, remedy="POST /v1/chat/completions has log probabilities."),
    "truncation": unserved("disabled", remedy="Nothing is left out of an input here; shorten what is too long."),
}
NAMES: Final = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "chat_template_kwargs": "reasoning",
    "image_url": "input_image",
}


def translate_responses(body: Json) -> Translation:
    """See `Translate`."""
    given, ignored = read_fields(body, FIELDS, SUBJECT)
    conversation = Conversation()
    if given.get("instructions"):
        conversation.say("system", [text_part(given["instructions"], "instructions")], "instructions")
    read_input(body.get(SUBJECT), conversation)
    _check_include(given.get("include", []))
    tools = [_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(given.get("tools", []))]
    text_format = _read_format(given.get("text", {}))
    template, more = _read_reasoning(given.get("reasoning", {}))
    chat: Json = {
        "messages": conversation.messages,
        **{name: given[name] for name in ("temperature", "top_p", "parallel_tool_calls") if name in given},
        **({"max_tokens": given["max_output_tokens"]} if "max_output_tokens" in given else {}),
        **({"tools": tools} if tools else {}),
        **({"tool_choice": _read_choice(given["tool_choice"])} if "tool_choice" in given else {}),
        **({"response_format": text_format} if text_format else {}),
        **({"chat_template_kwargs": template} if template else {}),
        **stream_fields(given.get("stream")),
    }
    names = Names(NAMES, conversation.places)
    return Translation(chat, ResponsesForm(_read_echo(given, body.get("user"))), names, (*ignored, *more))


def _check_include(include: list[object]) -> None:
    for index, asked in enumerate(include):
        if asked not in NOTHING_TO_INCLUDE:
            raise refuse(
                f"'include[{index}]' is {str(asked)[:100]!r}, and nothing can be included here but what an answer has "
                "anyway. Leave it out.",
                param=f"include[{index}]",
                code=ErrorCode.UNSUPPORTED_PARAMETER,
            )


def _read_tool(value: object, path: str) -> Json:
    tool = require_object(value, path)
    if tool.get("type") != "function":
        remedy = "Only tools of the type function are served, which the client runs itself."
        raise unsupported_content(f"{path}.type", str(tool.get("type")), remedy)
    name = require_text(tool.get("name"), f"{path}.name", empty=False)
    function: Json = {"name": name}
    if tool.get("description") is not None:
        function["description"] = require_text(tool["description"], f"{path}.description")
    if tool.get("parameters") is not None:
        function["parameters"] = require_object(tool["parameters"], f"{path}.parameters")
    return {"type": "function", "function": function}


def _read_choice(choice: object) -> object:
    if not isinstance(choice, dict):
        return choice
    kind = choice.get("type")
    if kind != "function":
        remedy = "It may be a word, or an object of the type function. Leave out the tools that are not to be called."
        raise unsupported_content("tool_choice.type", str(kind), remedy)
    name = require_text(choice.get("name"), "tool_choice.name", empty=False)
    return {"type": "function", "function": {"name": name}}


def _read_format(text: Json) -> Json | None:
    """`text.verbosity` is a hint, and the words of an answer are the model's."""
    wanted = text.get("format")
    if wanted is None:
        return None
    match require_object(wanted, "text.format").get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            schema = require_object(wanted.get("schema"), "text.format.schema")
            name = wanted.get("name")
            name = "answer" if name is None else require_text(name, "text.format.name")
            return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
    raise refuse("'text.format.type' has to be one of text, json_object, json_schema.", param="text.format.type")


def _read_reasoning(reasoning: Json) -> tuple[Json | None, tuple[str, ...]]:
    """What the chat template is told, and what has no effect: how much a model thinks, and summaries of it."""
    effort = reasoning.get("effort")
    unheeded = (
        ("summary", "generate_summary") if effort in (None, "none") else ("effort", "summary", "generate_summary")
    )
    ignored = tuple(f"reasoning.{name}" for name in unheeded if reasoning.get(name) is not None)
    return ({"enable_thinking": False} if effort == "none" else None), ignored


def _read_echo(given: Json, user: object) -> Json:
    """The fields that the answer repeats, written once for all the events that have them."""
    echo = {
        "background": False,
        "instructions": given.get("instructions"),
        "max_output_tokens": given.get("max_output_tokens"),
        "metadata": given.get("metadata", {}),
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": given.get("reasoning", {}).get("effort"), "summary": None},
        "store": False,
        "temperature": given.get("temperature"),
        "text": {"format": given.get("text", {}).get("format") or {"type": "text"}},
        "tool_choice": given.get("tool_choice", "auto"),
        "tools": given.get("tools", []),
        "top_p": given.get("top_p"),
        "truncation": "disabled",
        "user": user if isinstance(user, str) and len(user) <= MAX_VALUE else None,
    }
    try:
        return {name: orjson.Fragment(orjson.dumps(value)) for name, value in echo.items()}
    except TypeError as error:
        message = f"The body is nested too deeply: {error}."
        raise refuse(message, param=None, code=ErrorCode.INVALID_JSON) from error
