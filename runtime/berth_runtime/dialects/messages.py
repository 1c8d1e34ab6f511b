"""A request of Anthropic's Messages API as a chat.

Fields and their meaning: platform.claude.com/docs/en/api/messages, and the types of the package `anthropic`.
"""

from collections.abc import Mapping
from typing import Any, Final

from berth_api.openai_errors import ErrorCode
from berth_runtime.dialects.conversation import Conversation
from berth_runtime.dialects.fields import read_fields, require_object, require_text, unsupported_content
from berth_runtime.dialects.messages_answer import MessagesForm
from berth_runtime.dialects.messages_blocks import read_messages, read_system
from berth_runtime.dialects.names import Names
from berth_runtime.dialects.translation import Translation, stream_fields
from berth_runtime.openai.checks import (
    WHO_ASKS,
    Field,
    boolean,
    inert,
    integer,
    mapping,
    number,
    sequence,
    unserved,
)
from berth_runtime.openai.errors import refuse

Json = dict[str, Any]

SUBJECTS: Final = ("messages", "system")
MAX_STOPS: Final = 16
CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
# What the chat template is told; a model that decides itself is told nothing.
THINKING: Final[Mapping[str, bool | None]] = {"enabled": True, "disabled": False, "adaptive": None}


def _are_stops(value: list[object]) -> bool:
    return len(value) <= MAX_STOPS and all(isinstance(stop, str) and stop for stop in value)


FIELDS: Final[Mapping[str, Field]] = {
    **WHO_ASKS,
    "max_tokens": integer(1),
    "stop_sequences": sequence(f"a list of up to {MAX_STOPS} texts that are not empty", _are_stops),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "top_k": integer(0),
    "stream": boolean(),
    "tools": sequence("a list of objects with name and input_schema", lambda _: True),
    "tool_choice": mapping(
        "an object of the type auto, any, none, or tool with name; disable_parallel_tool_use: true asks for one call",
        lambda _: True,
    ),
    "thinking": mapping(
        "an object of the type enabled, disabled or adaptive: what a model that thinks is asked to do, where its chat "
        "template can be asked; budget_tokens is not kept to",
        lambda _: True,
    ),
    "output_config": mapping("an object with format, of the type json_schema with schema", lambda _: True),
    "cache_control": inert(),
    "container": unserved(remedy="Nothing is run here; a client runs its tools itself."),
    "mcp_servers": unserved([], remedy="A client asks such servers itself, and names their tools in 'tools'."),
    "output_format": unserved(remedy="Send it as 'output_config.format'."),
}
NAMES: Final = {
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "chat_template_kwargs": "thinking",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "image_url": "image",
}


def translate_messages(body: Json) -> Translation:
    """See `Translate`."""
    given, ignored = read_fields(body, FIELDS, *SUBJECTS)
    if "max_tokens" not in given:
        message = "'max_tokens' is missing: the most tokens that the answer may have."
        raise refuse(message, param="max_tokens", code=ErrorCode.MISSING_REQUIRED_PARAMETER)
    conversation = Conversation()
    read_system(body.get("system"), conversation)
    read_messages(body.get("messages"), conversation)
    tools = [_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(given.get("tools", []))]
    wanted, no_format = _read_output(given.get("output_config", {}))
    template, no_thinking = _read_thinking(given.get("thinking", {"type": "adaptive"}))
    kept = ("max_tokens", "temperature", "top_p", "top_k")
    chat: Json = {
        "messages": conversation.messages,
        **{name: given[name] for name in kept if name in given},
        **({"stop": given["stop_sequences"]} if given.get("stop_sequences") else {}),
        **({"tools": tools} if tools else {}),
        **(_read_choice(given["tool_choice"]) if "tool_choice" in given else {}),
        **({"response_format": wanted} if wanted else {}),
        **({"chat_template_kwargs": template} if template else {}),
        **stream_fields(given.get("stream")),
    }
    names = Names(NAMES, conversation.places)
    return Translation(chat, MessagesForm(), names, (*ignored, *no_format, *no_thinking))


def _read_tool(value: object, path: str) -> Json:
    tool = require_object(value, path)
    if tool.get("type") not in (None, "custom"):
        remedy = "Only tools of the client's own are served: describe it by name, description and input_schema."
        raise unsupported_content(f"{path}.type", str(tool["type"]), remedy)
    function: Json = {"name": require_text(tool.get("name"), f"{path}.name", empty=False)}
    if tool.get("description") is not None:
        function["description"] = require_text(tool["description"], f"{path}.description")
    function["parameters"] = require_object(tool.get("input_schema"), f"{path}.input_schema")
    return {"type": "function", "function": function}


def _read_choice(choice: Json) -> Json:
    kind = choice.get("type")
    if kind == "tool":
        name = require_text(choice.get("name"), "tool_choice.name", empty=False)
        chosen: object = {"type": "function", "function": {"name": name}}
    elif isinstance(kind, str) and kind in CHOICES:
        chosen = CHOICES[kind]
    else:
        raise refuse("'tool_choice.type' has to be one of auto, any, tool, none.", param="tool_choice.type")
    alone = choice.get("disable_parallel_tool_use")
    if not (alone is None or isinstance(alone, bool)):
        path = "tool_choice.disable_parallel_tool_use"
        raise refuse(f"'{path}' has to be true or false.", param=path)
    return {"tool_choice": chosen, **({"parallel_tool_calls": False} if alone else {})}


def _read_output(config: Json) -> tuple[Json | None, tuple[str, ...]]:
    """The chat's `response_format`, and what has no effect."""
    ignored = tuple(f"output_config.{name}" for name in config if name != "format")
    wanted = config.get("format")
    if wanted is None:
        return None, ignored
    path = "output_config.format"
    if require_object(wanted, path).get("type") != "json_schema":
        raise refuse(f"'{path}.type' has to be json_schema.", param=f"{path}.type")
    schema = require_object(wanted.get("schema"), f"{path}.schema")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}, ignored


def _read_thinking(thinking: Json) -> tuple[Json | None, tuple[str, ...]]:
    """What the chat template is told, and what has no effect."""
    kind = thinking.get("type")
    if not isinstance(kind, str) or kind not in THINKING:
        raise refuse(f"'thinking.type' has to be one of {', '.join(THINKING)}.", param="thinking.type")
    ignored = tuple(f"thinking.{name}" for name, value in thinking.items() if name != "type" and value is not None)
    told = THINKING[kind]
    return (None if told is None else {"enable_thinking": told}), ignored
