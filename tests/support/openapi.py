"""The published document of the HTTP API, and validators for what it says of requests and answers."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from berth_api.http_api import read_document

Json = dict[str, Any]
DOCUMENT: Json = json.loads(read_document())
JSON, EVENTS = "application/json", "text/event-stream"


def validator(schema: Json, *, document: Json = DOCUMENT) -> Draft202012Validator:
    """For a schema of the document, whose references lead into it."""
    registry = Registry().with_resource("urn:openapi", Resource.from_contents(document, DRAFT202012))
    return Draft202012Validator(_absolute(schema), registry=registry)


def closed_validator(schema: Json) -> Draft202012Validator:
    """The same, for an answer of ours: what the document does not name is an error."""
    return validator(schema, document=_closed(DOCUMENT))


def operations(method: str) -> list[tuple[str, Json]]:
    """Every path with what the document says of this method."""
    return [(path, item[method]) for path, item in DOCUMENT["paths"].items() if method in item]


def answer_content(operation: Json) -> Json:
    """The media types of its answer."""
    content: Json = operation["responses"]["200"]["content"]
    return content


def stream_validator(operation: Json) -> Draft202012Validator:
    """For an event of its stream; of what has types of its own, the document names the least that all have."""
    schema = answer_content(operation)[EVENTS]["schema"]
    named = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    return (validator if "type" in named else closed_validator)(schema)


def whole_stream(text: str) -> list[Json]:
    """The events of a stream that ended as its API has it: by the last one's type, or by `[DONE]`."""
    said = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    if said[-1] == "[DONE]":
        return [json.loads(event) for event in said[:-1]]
    events = [json.loads(event) for event in said]
    assert events[-1]["type"] in {"response.completed", "response.incomplete", "message_stop"}
    return events


def examples(content: Json) -> list[Any]:
    """The examples of a media type."""
    one = [content["example"]] if "example" in content else []
    return one + [each["value"] for each in content.get("examples", {}).values()]


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: f"urn:openapi{each}" if key == "$ref" else _absolute(each) for key, each in value.items()}


def _closed(value: Any) -> Any:
    if isinstance(value, list):
        return [_closed(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _closed(each) for key, each in value.items()}
    is_described = isinstance(value.get("properties"), dict) and value.get("type") == "object"
    return {**inner, "additionalProperties": False} if is_described else inner
