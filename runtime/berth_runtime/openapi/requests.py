"""JSON schemas of request bodies: what each is about, and the fields of its table."""

from collections.abc import Mapping
from typing import Any, Final

from berth_runtime.engines.protocol import Operation
from berth_runtime.openai import chat_pictures
from berth_runtime.openai.checks import Field, Schema
from berth_runtime.openai.classification import MAX_TEXTS
from berth_runtime.openai.generate import OTHER_NAMES
from berth_runtime.openai.image_field import MAX_PICTURE_BYTES, MAX_PICTURES
from berth_runtime.openai.parameters import COMPLETION, FORMS
from berth_runtime.openai.prompts import MAX_INPUTS, MAX_MESSAGES, MAX_PROMPTS, MAX_TOKEN_ID, ROLES
from berth_runtime.openai.rerank import MAX_DOCUMENTS

Json = dict[str, Any]

TEXT: Final[Schema] = {"type": "string", "minLength": 1}
MODEL: Final[Schema] = {
    "type": "string",
    "description": "A name that GET /v1/models lists. An engine with one model may be asked without.",
}
TOKENS: Final[Schema] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": MAX_TOKEN_ID},
    "minItems": 1,
    "description": "Integers are token ids of the model's own vocabulary.",
}
TEXT_PART: Final[Schema] = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
}
PICTURE_URL: Final[Schema] = {
    "type": "string",
    "pattern": "^data:image/(png|jpeg|jpg);base64,",
    "description": f"The picture itself, at most {chat_pictures.MAX_PICTURE_BYTES >> 20} MiB; an engine never reads "
    f"the network. A request has at most {chat_pictures.MAX_PICTURES} of them, and the model must be one that sees.",
}
PICTURE_PART: Final[Schema] = {
    "type": "object",
    "required": ["type", "image_url"],
    "properties": {
        "type": {"const": "image_url"},
        "image_url": {"type": "object", "required": ["url"], "properties": {"url": PICTURE_URL}},
    },
}
PART: Final[Schema] = {"anyOf": [TEXT_PART, PICTURE_PART]}
MESSAGE: Final[Schema] = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"enum": list(ROLES)},
        "content": {
            "description": "Only an assistant's message may be without.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": PART}, {"type": "null"}],
        },
    },
}
DOCUMENT: Final[Schema] = {"type": "object", "required": ["text"], "properties": {"text": TEXT}}
PICTURE: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "description": f"A picture of at most {MAX_PICTURE_BYTES >> 20} MiB as base64, or as a data URL with base64. "
    "Other URLs are refused: an engine never reads the network.",
}


def one_or_many(each: Schema, most: int) -> Json:
    """One such value, or a list of them."""
    return {"anyOf": [each, many(each, most)]}


def many(each: Schema, most: int) -> Json:
    """A list of such values, not empty."""
    return {"type": "array", "items": each, "minItems": 1, "maxItems": most}


SUBJECTS: Final[Mapping[Operation, Mapping[str, Schema]]] = {
    Operation.CHAT: {"messages": many(MESSAGE, MAX_MESSAGES)},
    Operation.COMPLETION: {"prompt": {"anyOf": [TEXT, TOKENS, many({"anyOf": [TEXT, TOKENS]}, MAX_PROMPTS)]}},
    Operation.EMBEDDING: {"input": {"anyOf": [TEXT, TOKENS, many(TEXT, MAX_INPUTS), many(TOKENS, MAX_INPUTS)]}},
    Operation.RERANK: {"query": TEXT, "documents": many({"anyOf": [TEXT, DOCUMENT]}, MAX_DOCUMENTS)},
    Operation.CLASSIFICATION: {"input": one_or_many(TEXT, MAX_TEXTS)},
    Operation.IMAGE_CLASSIFICATION: {"image": one_or_many(PICTURE, MAX_PICTURES)},
    Operation.OBJECT_DETECTION: {"image": one_or_many(PICTURE, MAX_PICTURES)},
    Operation.TEXT_RECOGNITION: {"image": one_or_many(PICTURE, MAX_PICTURES)},
}


def request_schema(operation: Operation) -> Json:
    """The body of a request for an operation."""
    subject = SUBJECTS[operation]
    properties = {"model": MODEL, **subject, **field_schemas(FORMS[operation].fields)}
    return {"type": "object", "required": list(subject), "properties": properties}


def generate_request_schema() -> Json:
    """The body of `/generate`: that of a completion with one text, its fields also under other names."""
    fields = field_schemas(COMPLETION)
    del fields["n"], fields["stream_options"]
    named = {"prompt": TEXT, **fields}
    others = {other: named[name] for other, name in OTHER_NAMES.items() if name in named}
    fields["parameters"] = {"type": "object", "description": "The same fields may stand in here."}
    return {
        "type": "object",
        "anyOf": [{"required": ["prompt"]}, {"required": ["inputs"]}],
        "properties": {"model": MODEL, "prompt": TEXT, **others, **fields},
    }


def field_schemas(fields: Mapping[str, Field]) -> Json:
    """The fields of a table that some engine honours; those that change no answer take any value."""
    return {name: dict(field.schema) for name, field in fields.items() if field.served}
