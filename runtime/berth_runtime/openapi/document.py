"""The document itself, put together from the table of addresses and the schemas."""

from typing import Any, Final

from berth_runtime.openai.parameters import IGNORED_HEADER
from berth_runtime.openapi import dialects
from berth_runtime.openapi.answers import SCHEMAS, TEXT, ref
from berth_runtime.openapi.endpoints import POSTED, READ, Posted, Read

Json = dict[str, Any]

_DESCRIPTION: Final = """\
Inference of machine-learning models in the form of OpenAI's API, and more paths in its manner. The field `model` of a \
request chooses who answers it; a body has at most 32 MiB.

Which fields an engine honours depends on the engine. A known field that it does not honour is refused by its name, \
unless its value asks for nothing; one that nobody knows is left out, and the header `x-berth-ignored-parameters` says \
so. `null` is the same as leaving a field out. A model is asked at the paths of its own task; elsewhere it is 404 \
`operation_not_supported`. OpenAI's Responses API and Anthropic's Messages API are chats in other words: every model \
that chats answers them. Nothing is kept from one request to the next. Errors at `/v1/messages` have Anthropic's \
form."""


def build_document() -> Json:
    """The whole API; the same at each call."""
    paths: Json = {}
    for posted in POSTED:
        for number, path in enumerate(posted.paths):
            paths[path] = {"post": _posted(posted, number)}
    for read in READ:
        paths[read.path] = _read(read)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Berth", "version": "1", "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {
                **{request_name(posted): posted.request for posted in POSTED},
                **SCHEMAS,
                **dialects.SCHEMAS,
            },
            "responses": {
                name: {"description": "Why there is no answer.", "content": _json(ref(name))}
                for name in dict.fromkeys(posted.error for posted in POSTED)
            },
            "headers": {
                "Ignored": {"description": "The names of fields that nobody knows, with commas.", "schema": TEXT},
            },
        },
    }


def request_name(posted: Posted) -> str:
    """The component with the body of its requests."""
    return posted.name[0].upper() + posted.name[1:] + "Request"


def _posted(posted: Posted, number: int) -> Json:
    """The first path is the one to use; the others are told apart by their number."""
    first = posted.paths[0]
    content = _json(ref(posted.answer), posted.answered, posted.or_answered)
    if posted.event is not None:
        content["text/event-stream"] = {"schema": ref(posted.event)}
    return {
        "operationId": posted.name + (str(number + 1) if number else ""),
        "summary": posted.says if number == 0 else f"The same as {first}",
        "requestBody": {"required": True, "content": _json(ref(request_name(posted)), posted.asked)},
        "responses": {
            "200": {
                "description": f"The answer. As a stream, each event has such an object, and {posted.last_event}."
                if posted.event is not None
                else "The answer.",
                "headers": {IGNORED_HEADER: {"$ref": "#/components/headers/Ignored"}},
                "content": content,
            },
            "default": {"$ref": f"#/components/responses/{posted.error}"},
        },
    }


def _read(read: Read) -> Json:
    said = read.says + (" (at an engine's own address, not at the gateway)" if read.engine_only else "")
    answer = {"schema": read.answer, "example": read.answered}
    operation = {
        "operationId": read.name,
        "summary": said,
        "responses": {
            "200": {"description": "The answer.", "content": {read.media_type: answer}},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    parameter = {"name": "id", "in": "path", "required": True, "schema": TEXT}
    return {"parameters": [parameter], "get": operation} if "{id}" in read.path else {"get": operation}


def _json(schema: Json, *examples: Json | None) -> Json:
    """JSON of a schema, with one example or several."""
    given = [example for example in examples if example is not None]
    if len(given) > 1:
        named = {f"form{number}": {"value": example} for number, example in enumerate(given, 1)}
        return {"application/json": {"schema": schema, "examples": named}}
    return {"application/json": {"schema": schema, **({"example": given[0]} if given else {})}}
