"""Requests over HTTP as every server here reads them: by the tables of fields, and into what vLLM's own routes take."""

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.fuzz.run import Sample

from berth_api.openai_errors import ErrorCode
from berth_runtime.engines.protocol import Capabilities, Operation
from berth_runtime.openai.classification import read_texts
from berth_runtime.openai.errors import ApiError, error_body
from berth_runtime.openai.image_field import read_pictures
from berth_runtime.openai.parameters import FORMS, read_parameters
from berth_runtime.openai.prompts import read_messages
from berth_runtime.vllm.requests import BUILDERS, Json, Subject, read_json

EVERYTHING = Capabilities(
    parameters={operation: frozenset(form.fields) for operation, form in FORMS.items()},
    parallel_requests=4,
    context_length=1024,
    dimensions=8,
    labels=("a", "b"),
    pictures=True,
)
SUBJECT = Subject("model", EVERYTHING)
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CHAT: Json = {
    "model": "model",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    ],
    "temperature": 0.5,
    "max_tokens": 8,
    "stream": True,
    "stream_options": {"include_usage": True},
    "logit_bias": {"5": -100},
    "stop": ["\n", "###"],
    "seed": 7,
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
}
RESPONSES: Json = {
    "model": "model",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "function_call", "call_id": "1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "sunny"},
    ],
    "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
    "metadata": {"a": "b"},
    "stream": True,
}
MESSAGES: Json = {
    "model": "model",
    "max_tokens": 8,
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "weather", "input": {"a": [1]}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "sunny"}]},
    ],
    "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "tool", "name": "weather"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}
COMPLETION: Json = {"model": "model", "prompt": ["a", "b"], "n": 2, "logprobs": 1, "top_p": 0.9, "stop": "x"}
SAMPLING = {"max_new_tokens": 4, "repetition_penalty": 1.1}
WORK: dict[str, Json] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
    "/v1/completions": COMPLETION,
    "/generate": {"inputs": "Once", "parameters": SAMPLING, "stream": False},
    "/v1/embeddings": {"model": "model", "input": [[1, 2], [3]], "encoding_format": "base64", "dimensions": 8},
    "/v1/rerank": {"query": "a", "documents": ["b", {"text": "c"}], "top_n": 1, "return_documents": True},
}


def request_samples() -> list[Sample]:
    """One request of each kind."""
    url = f"data:image/png;base64,{PIXEL}"
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    seeing = {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}]}
    readers: dict[str, tuple[Json, Callable[[Json], object]]] = {
        **{path: (body, partial(_build, path)) for path, body in WORK.items()},
        "a chat with a picture": (seeing, _read_seeing),
        "/classify": ({"input": ["a", "b"], "model": "m"}, partial(_read_about, Operation.CLASSIFICATION, read_texts)),
        "/v1/images/classify": (
            {"image": [url, PIXEL], "top_k": 3},
            partial(_read_about, Operation.IMAGE_CLASSIFICATION, read_pictures),
        ),
        "/v1/images/detect": (
            {"image": url, "threshold": 0.5},
            partial(_read_about, Operation.OBJECT_DETECTION, read_pictures),
        ),
    }
    return [Sample(name, json.dumps(body).encode(), partial(_read, read)) for name, (body, read) in readers.items()]


def _read(read: Callable[[Json], object], content: bytes) -> Iterator[bool]:
    try:
        read(read_json(content))
    except ApiError as error:
        failure = error.failure
        assert 400 <= failure.status < 500, f"a request is answered with {failure.status}: {failure.message}"
        told = json.loads(error_body(failure))["error"]
        assert told["message"].endswith("."), "no sentence"
        assert told["code"] in set(ErrorCode), f"the code {told['code']!r} is none of ours"
        yield False
    else:
        yield True


def _build(path: str, body: Json) -> None:
    call = BUILDERS[path](body, SUBJECT)
    sent = json.loads(call.body)
    assert sent["model"] == SUBJECT.name, "the name is ours, whatever the client says"
    assert call.stream == bool(sent.get("stream"))


def _read_seeing(body: Json) -> None:
    for message in read_messages(body.get("messages"), pictures=True):
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            assert part["type"] == "text" or part["image_url"]["url"].startswith("data:"), "a picture from elsewhere"


def _read_about(operation: Operation, read: Callable[[object], Any], body: Json) -> None:
    given = read_parameters(body, operation, EVERYTHING).given
    (subject,) = FORMS[operation].subject
    assert subject not in given
    assert read(body.get(subject))
