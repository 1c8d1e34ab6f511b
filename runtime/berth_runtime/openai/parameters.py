"""The fields of a request besides what it is about: which are known, what they may be, which an engine honours.

`routes` calls `read_parameters` for each request. A known field that the engine does not honour is refused by name; a
field that nobody knows is left out, and the answer's header `IGNORED_HEADER` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from berth_runtime.engines.protocol import Capabilities, Operation
from berth_runtime.openai import classification, images, rerank
from berth_runtime.openai.checks import (
    INT64,
    WHO_ASKS,
    Field,
    always,
    boolean,
    described,
    inert,
    integer,
    is_number,
    mapping,
    number,
    one_of,
    sequence,
    texts,
    unserved,
)
from berth_runtime.openai.errors import refuse

Json = dict[str, Any]
IGNORED_HEADER: Final = "x-berth-ignored-parameters"
RESPONSE_FORMATS: Final = ("text", "json_object", "json_schema")


def _is_logit_bias(value: dict[str, object]) -> bool:
    return all(token.isdecimal() and is_number(bias, -100, 100) for token, bias in value.items())


def _is_response_format(value: dict[str, object]) -> bool:
    if value.get("type") == "json_schema":
        schema = value.get("json_schema")
        return isinstance(schema, dict) and isinstance(schema.get("schema"), dict)
    return value.get("type") in RESPONSE_FORMATS


def _are_functions(value: list[object]) -> bool:
    return all(
        isinstance(tool, dict)
        and tool.get("type") == "function"
        and isinstance(tool.get("function"), dict)
        and isinstance(tool["function"].get("name"), str)
        for tool in value
    )


def _is_tool_choice(value: object) -> bool:
    if isinstance(value, dict):
        function = value.get("function")
        return isinstance(function, dict) and isinstance(function.get("name"), str)
    return value in ("none", "auto", "required")


_GENERATION: Final = {
    **WHO_ASKS,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "top_k": integer(0),
    "min_p": number(0, 1),
    "typical_p": number(0, 1),
    "presence_penalty": number(-2, 2, neutral=(0,)),
    "frequency_penalty": number(-2, 2, neutral=(0,)),
    "repeat_penalty": number(0, 10, neutral=(1,)),
    "logit_bias": mapping("an object of token ids with a bias from -100 to 100", _is_logit_bias, neutral=({},)),
    "seed": integer(-INT64),
    "stop": texts(16),
    "n": integer(1, 128, neutral=(1,)),
    "max_tokens": integer(1),
    "ignore_eos": described(
        boolean(neutral=(False,)), "Go on until max_tokens, whatever the model wants; llama.cpp's own."
    ),
    "stream": boolean(),
    "stream_options": mapping(
        "an object with include_usage: true or false",
        lambda value: isinstance(value.get("include_usage", False), bool),
        neutral=({},),
    ),
}

CHAT: Final[Mapping[str, Field]] = {
    **_GENERATION,
    "max_completion_tokens": integer(1),
    "logprobs": boolean(neutral=(False,)),
    "top_logprobs": integer(0, 20, neutral=(0,)),
    "response_format": mapping(
        "an object with type text, json_object, or json_schema and json_schema.schema",
        _is_response_format,
        neutral=({"type": "text"},),
    ),
    "tools": sequence("a list of objects with type function and function.name", _are_functions, neutral=([],)),
    "tool_choice": Field(
        "none, auto, required, or an object with function.name",
        _is_tool_choice,
        ("none", "auto"),
        schema={"anyOf": [{"enum": ["none", "auto", "required"]}, {"type": "object", "required": ["function"]}]},
    ),
    "parallel_tool_calls": boolean(neutral=(True, False)),
    "chat_template_kwargs": mapping("an object of what the chat template takes", lambda _: True, neutral=({},)),
    "audio": unserved(),
    "function_call": unserved("none", "auto"),
    "functions": unserved([]),
    "modalities": unserved(["text"]),
    "moderation": unserved(),
    "prediction": inert(),  # it may only make an answer come faster
    "reasoning_effort": unserved(),  # refused, as OpenAI's own models without such a choice do
    "store": inert(),  # an answer is never stored here
    "verbosity": inert(),  # a hint, and the words of an answer are the model's
    "web_search_options": unserved(),
}

COMPLETION: Final[Mapping[str, Field]] = {
    **_GENERATION,
    "logprobs": integer(0, 20),
    "best_of": unserved(1),
    "echo": unserved(False),
    "suffix": unserved("", None),
}

EMBEDDING: Final[Mapping[str, Field]] = {
    **WHO_ASKS,
    "dimensions": described(
        integer(1), "How many numbers each vector is cut to, where the model was trained for that (Matryoshka)."
    ),
    "encoding_format": always(one_of("float", "base64")),
}


@dataclass(frozen=True)
class Form:
    """What the requests for an operation have besides `model`: what they are about, and how it is to be done."""

    subject: frozenset[str]
    fields: Mapping[str, Field]


def _form(fields: Mapping[str, Field], *subject: str) -> Form:
    return Form(frozenset(subject), fields)


FORMS: Final[Mapping[Operation, Form]] = {
    Operation.CHAT: _form(CHAT, "messages"),
    Operation.COMPLETION: _form(COMPLETION, "prompt"),
    Operation.EMBEDDING: _form(EMBEDDING, "input"),
    Operation.RERANK: _form(rerank.FIELDS, "query", "documents"),
    Operation.CLASSIFICATION: _form(classification.FIELDS, "input"),
    Operation.IMAGE_CLASSIFICATION: _form(images.CLASSIFICATION, "image"),
    Operation.OBJECT_DETECTION: _form(images.DETECTION, "image"),
    Operation.TEXT_RECOGNITION: _form(images.RECOGNITION, "image"),
}
"""A new operation is a file with its fields and answers, a line here, a route, an entry in `berth_runtime.openapi`."""


@dataclass(frozen=True)
class Parameters:
    """What the engine is given, and the names of what nobody knows."""

    given: Json
    ignored: tuple[str, ...]


def read_parameters(body: Json, operation: Operation, capabilities: Capabilities) -> Parameters:
    """The fields of a request other than `model` and its subject; raises `ApiError` with the wrong field's name."""
    honoured = capabilities.parameters[operation]
    form = FORMS[operation]
    given: Json = {}
    ignored: list[str] = []
    for name, value in body.items():
        if name == "model" or name in form.subject or value is None:
            continue
        known = form.fields.get(name)
        if known is None:
            ignored.append(name)
        elif not known.accepts(value):
            raise refuse(f"{name!r} has to be {known.expects}.", param=name)
        elif value in known.absent:
            continue
        elif known.always or name in honoured:
            given[name] = value
        elif not known.inert and value not in known.neutral:
            raise refuse(
                f"{name!r} is not supported by the engine of this model. {known.remedy}",
                param=name,
                code="unsupported_parameter",
            )
    _check_together(given, capabilities)
    return Parameters(given, tuple(ignored))


def _check_together(given: Json, capabilities: Capabilities) -> None:
    choices, most = given.get("n", 1), capabilities.parallel_requests
    if choices > most:
        raise refuse(f"'n' is {choices}, and this model gives at most {most} choices at once.", param="n")
    if "stream_options" in given and not given.get("stream"):
        raise refuse("'stream_options' may only be given together with 'stream': true.", param="stream_options")
    if not given.get("logprobs") and given.pop("top_logprobs", 0):
        raise refuse("'top_logprobs' may only be given together with 'logprobs': true.", param="top_logprobs")
