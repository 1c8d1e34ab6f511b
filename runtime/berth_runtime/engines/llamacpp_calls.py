"""Calls that a client forces, by a `tool_choice` of `required` or of one function. Used by `engines.llamacpp`; pure.

llama.cpp takes no function's name, and its own `required` lets a model talk for as long as it likes before the call. So
the whole answer is forced by a JSON schema, the function's name and then its arguments, and made into OpenAI's form of
a call here, piece by piece as it comes. The template shows the model all functions as for any other choice.
"""

import re
import secrets
from typing import Any, Final

import orjson

from berth_runtime.engines.protocol import Failure

Json = dict[str, Any]

LEFT_TO_THE_MODEL: Final = (None, "auto", "none")
NO_TOOLS: Final = Failure(
    400, "invalid_value", "'tool_choice' may only force a call together with 'tools'.", "tool_choice"
)
LOGPROBS_BESIDE_TOOLS: Final = Failure(
    400, "unsupported_parameter", "'logprobs' can't be given together with 'tools' for this model.", "logprobs"
)
FORMAT_BESIDE_TOOLS: Final = Failure(
    400,
    "unsupported_parameter",
    "'response_format' can't be given together with 'tools' for this model, which would never call one then. "
    "Leave one of them out, or set 'tool_choice' to 'none'.",
    "response_format",
)
NO_PARAMETERS: Final[Json] = {"type": "object", "properties": {}, "additionalProperties": False}
_HEAD: Final = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')
# A quote inside a JSON string is escaped, so these bytes are always the key and the start of a path in the schema.
_REFERENCE: Final = b'"$ref":"#'


def plan_calls(body: Json) -> "CallWriter | FirstCallWriter | Failure | None":
    """What has to be done with the answer to a chat about tools; `body` is changed to what llama.cpp understands."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not tools:
        body.pop("tool_choice", None)
        return None if choice in LEFT_TO_THE_MODEL else NO_TOOLS
    if body.get("logprobs"):
        return LOGPROBS_BESIDE_TOOLS
    if choice != "none" and body.get("response_format", {}).get("type", "text") != "text":
        return FORMAT_BESIDE_TOOLS
    if choice in LEFT_TO_THE_MODEL:
        return FirstCallWriter() if body.get("parallel_tool_calls") is False else None
    functions = [tool["function"] for tool in tools]
    if choice != "required":
        functions = [function for function in functions if function["name"] == choice["function"]["name"]]
    if not functions:
        message = f"'tool_choice' names {choice['function']['name']!r}, and 'tools' has no such function."
        return Failure(400, "invalid_value", message, "tool_choice")
    schema = {"type": "json_schema", "json_schema": {"name": "call", "schema": call_schema(functions)}}
    body |= {"tool_choice": "none", "response_format": schema}
    body.pop("parallel_tool_calls", None)
    return CallWriter()


def call_schema(functions: list[Json]) -> Json:
    """One call of one of the functions, as JSON."""
    if len(functions) == 1:
        return _one_call(functions[0], path="#")
    return {"anyOf": [_one_call(function, path=f"#/anyOf/{index}") for index, function in enumerate(functions)]}


def _one_call(function: Json, *, path: str) -> Json:
    """`path` is where in the whole schema this one stands: the references of the function's own count from there."""
    own = orjson.dumps(function.get("parameters") or NO_PARAMETERS)
    moved = own.replace(_REFERENCE, b'"$ref":"%b/properties/arguments' % path.encode())
    return {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, "arguments": orjson.loads(moved)},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


class FirstCallWriter:
    """Leaves out every call but the first; llama.cpp's grammar allows several in some forms, whatever it was told."""

    def rewrite(self, choices: list[Json]) -> None:
        """Change the choices of an event in place; those that have nothing to say any more are left out."""
        for choice in choices:
            calls = choice["delta"].pop("tool_calls", ())
            first = [call for call in calls if call["index"] == 0]
            if first:
                choice["delta"]["tool_calls"] = first
        leave_out_silent(choices)


class CallWriter:
    """Rewrites the choices of one request, whose content is a call as JSON, to OpenAI's deltas of a call."""

    def __init__(self) -> None:
        self._calls: dict[int, CallReader] = {}

    def rewrite(self, choices: list[Json]) -> None:
        """Change the choices of an event in place; those that have nothing to say any more are left out."""
        for choice in choices:
            call = self._calls.setdefault(choice["index"], CallReader())
            self._rewrite_one(choice, call)
        leave_out_silent(choices)

    def _rewrite_one(self, choice: Json, call: "CallReader") -> None:
        delta = choice["delta"]
        part = call.read(delta.pop("content", None) or "")
        if "role" in delta:
            delta["content"] = None
        if part is not None:
            delta["tool_calls"] = [part]
        if call.whole and choice["finish_reason"] == "stop":
            choice["finish_reason"] = "tool_calls"


def leave_out_silent(choices: list[Json]) -> None:
    """Keep the choices that have something to say."""
    choices[:] = [choice for choice in choices if choice["delta"] or choice["finish_reason"]]


class CallReader:
    """Reads one call as its JSON comes; `whole` is True once the arguments have ended."""

    def __init__(self) -> None:
        self.whole = False
        self._head: str | None = ""
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def read(self, text: str) -> Json | None:
        """The next part of the call in OpenAI's form; None while there is nothing to say."""
        if self._head is None:
            arguments = self._take_arguments(text)
            return {"index": 0, "function": {"arguments": arguments}} if arguments else None
        self._head += text
        found = _HEAD.match(self._head)
        if found is None:
            return None
        arguments, self._head = self._take_arguments(self._head[found.end() :]), None
        function = {"name": orjson.loads(found[1]), "arguments": arguments}
        return {"index": 0, "id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}

    def _take_arguments(self, text: str) -> str:
        """As much of the text as belongs to the arguments, an object: what follows it closes the call."""
        if self.whole:
            return ""
        for at, letter in enumerate(text):
            self._step(letter)
            if self.whole:
                return text[: at + 1]
        return text

    def _step(self, letter: str) -> None:
        if self._in_string:
            self._in_string = self._escaped or letter != '"'
            self._escaped = letter == "\\" and not self._escaped
        elif letter == '"':
            self._in_string = True
        elif letter in "{[":
            self._depth += 1
        elif letter in "}]":
            self._depth -= 1
            self.whole = self._depth == 0
