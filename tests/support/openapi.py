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
