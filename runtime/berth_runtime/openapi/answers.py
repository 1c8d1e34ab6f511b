"""JSON schemas of answers, by the names that they have among the document's components."""

from collections.abc import Mapping
from typing import Any, Final

from berth_api.openai_errors import ErrorCode, ErrorType
from berth_runtime.openai.checks import Schema
from berth_runtime.supervision import State

Json = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
SCORE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
FINISH: Final[Schema] = {"type": ["string", "null"], "description": "`stop`, `length`, `tool_calls`, or none yet."}
LOGPROBS: Final[Schema] = {"type": ["object", "null"]}


def ref(name: str) -> Json:
    """A component by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def some(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Json:
    """An object that has these properties, but perhaps for the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": dict(properties)}


def listed(each: Schema) -> Json:
    """A list of such values."""
    return {"type": "array", "items": each}


def envelope(part: Schema, **more: Schema) -> Json:
    """A list as OpenAI's clients know it, with something for each input."""
    head = {"id": TEXT, "object": {"const": "list"}, "created": COUNT, "model": TEXT}
    return some({**head, **more, "data": listed(part), "usage": ref("Usage")}, optional=tuple(more))


def generation(kind: str, choice: Schema) -> Json:
    """A chat or completion, whole or as one event of a stream."""
    head = {"id": TEXT, "object": {"const": kind}, "created": COUNT, "model": TEXT}
    more = {"system_fingerprint": TEXT, "usage": {"anyOf": [ref("GeneratedUsage"), {"type": "null"}]}}
    return some({**head, "choices": listed(choice), **more}, optional=tuple(more))


_MESSAGE: Final = some(
    {
        "role": {"const": "assistant"},
        "content": {"type": ["string", "null"]},
        "reasoning_content": {"type": ["string", "null"]},
        "tool_calls": listed({"type": "object"}),
    },
    optional=("role", "content", "reasoning_content", "tool_calls"),
)
_ENDING: Final = {"finish_reason": FINISH, "logprobs": LOGPROBS}
_SCORED: Final = some({"label": TEXT, "score": SCORE})

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": some(
        {
            "error": some(
                {
                    "message": TEXT,
                    "type": {"enum": [str(kind) for kind in ErrorType]},
                    "param": {"type": ["string", "null"], "description": "The wrong field, if one is to blame."},
                    "code": {
                        "type": "string",
                        "description": "What programs switch on. Words are added and never change: "
                        + ", ".join(sorted(str(code) for code in ErrorCode))
                        + ".",
                    },
                }
            )
        }
    ),
    "Usage": some({"prompt_tokens": COUNT, "total_tokens": COUNT}),
    "GeneratedUsage": some({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT}),
    "ChatCompletion": generation(
        "chat.completion", some({"index": COUNT, "message": _MESSAGE, **_ENDING}, optional=("logprobs",))
    ),
    "ChatCompletionChunk": generation(
        "chat.completion.chunk", some({"index": COUNT, "delta": _MESSAGE, **_ENDING}, optional=("logprobs",))
    ),
    "Completion": generation(
        "text_completion", some({"index": COUNT, "text": TEXT, **_ENDING}, optional=("logprobs",))
    ),
    "Generation": some({"model": TEXT, "text": TEXT, "finish_reason": FINISH, "usage": ref("GeneratedUsage")}),
    "GenerationEvent": some(
        {"text": TEXT, "finish_reason": FINISH, "usage": ref("GeneratedUsage")}, optional=("finish_reason", "usage")
    ),
    "EmbeddingList": some(
        {
            "object": {"const": "list"},
            "data": listed(
                some(
                    {
                        "object": {"const": "embedding"},
                        "index": COUNT,
                        "embedding": {
                            "description": "Numbers, or base64 of little-endian float32 where that was asked for.",
                            "anyOf": [listed(NUMBER), TEXT],
                        },
                    }
                )
            ),
            "model": TEXT,
            "usage": ref("Usage"),
        }
    ),
    "RerankAnswer": some(
        {
            "id": TEXT,
            "model": TEXT,
            "results": {
                **listed(
                    some(
                        {"index": COUNT, "relevance_score": NUMBER, "document": some({"text": TEXT})},
                        optional=("document",),
                    )
                ),
                "description": "Best first; `index` is the place among the documents of the request.",
            },
            "usage": ref("Usage"),
        }
    ),
    "ClassifyAnswer": envelope(
        {"anyOf": [ref("TextClasses"), ref("TextEntities")]},
        labels={**listed(TEXT), "description": "Which class each of `probs` belongs to."},
    ),
    "TextClasses": some({"index": COUNT, "label": TEXT, "probs": listed(NUMBER), "num_classes": COUNT}),
    "TextEntities": some(
        {
            "index": COUNT,
            "entities": listed(
                some({"label": TEXT, "score": SCORE, "start": COUNT, "end": COUNT, "text": TEXT}),
            ),
        }
    ),
    "ImageClassifyAnswer": envelope(
        some({"index": COUNT, "label": TEXT, "classes": listed(_SCORED), "num_classes": COUNT})
    ),
    "ImageDetectAnswer": envelope(
        some({"index": COUNT, "width": COUNT, "height": COUNT, "objects": listed(ref("FoundObject"))})
    ),
    "FoundObject": some(
        {
            "label": TEXT,
            "score": SCORE,
            "box": {
                **some({"x": NUMBER, "y": NUMBER, "width": NUMBER, "height": NUMBER}),
                "description": "In pixels of the picture as it was sent, from its corner at the top left.",
            },
        }
    ),
    "ImageRecognizeAnswer": envelope(some({"index": COUNT, "text": TEXT, "score": SCORE})),
    "Model": some(
        {"id": TEXT, "object": {"const": "model"}, "created": COUNT, "owned_by": TEXT, "root": TEXT, "parent": TEXT},
        optional=("root", "parent"),
    ),
    "ModelList": some({"object": {"const": "list"}, "data": listed(ref("Model"))}),
    "Health": some({"status": {"enum": ["live", "ok", "ready"]}}),
    "Status": some(
        {
            "models": listed(
                some(
                    {
                        "name": TEXT,
                        "engine": {"type": ["string", "null"]},
                        "task": {"type": ["string", "null"]},
                        "format": {"type": ["string", "null"]},
                        "state": {"enum": [str(state) for state in State]},
                        "message": TEXT,
                        "restarts": COUNT,
                        "retryInSeconds": {"type": ["number", "null"]},
                        "stages": listed(some({"name": TEXT, "milliseconds": COUNT})),
                        "inFlight": COUNT,
                        "queued": COUNT,
                        "contextLength": {"type": ["integer", "null"]},
                        "parallelRequests": {"type": ["integer", "null"]},
                    }
                )
            )
        }
    ),
}
