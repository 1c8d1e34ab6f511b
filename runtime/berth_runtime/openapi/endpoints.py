"""Every address of the HTTP API, with an example of what goes in and what comes out; a test asks each of them."""

from dataclasses import dataclass
from typing import Any, Final

from berth_runtime.engines.protocol import Operation
from berth_runtime.openai.checks import Schema
from berth_runtime.openapi.answers import TEXT, ref, some
from berth_runtime.openapi.dialects import messages_request_schema, responses_request_schema
from berth_runtime.openapi.requests import generate_request_schema, request_schema

Json = dict[str, Any]

# A picture of one black pixel.
PIXEL: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True, kw_only=True)
class Posted:
    """Work for a model. The first of `paths` is the one to use; the others are for clients of other servers.

    `answer` and `event` name components: the whole answer, and one event of it as a stream, whose `last_event` tells
    that it is whole. `or_answered` is an example of its other form, if it has two. `error` names the form of errors.
    """

    name: str
    paths: tuple[str, ...]
    says: str
    request: Schema
    answer: str
    event: str | None = None
    last_event: str = "the last one is [DONE]"
    error: str = "Error"
    asked: Json
    answered: Json
    or_answered: Json | None = None


@dataclass(frozen=True, kw_only=True)
class Read:
    """What is only looked at. `engine_only` paths are not at the gateway."""

    name: str
    path: str
    says: str
    answer: Schema
    answered: Json | str
    media_type: str = "application/json"
    engine_only: bool = False


def _usage(prompt_tokens: int, generated_tokens: int | None = None) -> Json:
    if generated_tokens is None:
        return {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    total = prompt_tokens + generated_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": generated_tokens, "total_tokens": total}


def _list(answer_id: str, model: str, tokens: int, *data: Json, **more: object) -> Json:
    head = {"id": answer_id, "object": "list", "created": 1767225600, "model": model}
    return {**head, **more, "data": list(data), "usage": _usage(tokens)}


POSTED: Final[tuple[Posted, ...]] = (
    Posted(
        name="chat",
        paths=("/v1/chat/completions",),
        says="Answer a chat, whole or as a stream",
        request=request_schema(Operation.CHAT),
        answer="ChatCompletion",
        event="ChatCompletionChunk",
        asked={"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16},
        answered={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1767225600,
            "model": "smollm2",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
            "usage": _usage(32, 3),
        },
    ),
    Posted(
        name="respond",
        paths=("/v1/responses",),
        says="Answer a chat in the form of OpenAI's Responses API",
        request=responses_request_schema(),
        answer="Response",
        event="ResponseEvent",
        last_event="the last one is `response.completed`, `response.incomplete` or `response.failed`",
        asked={"model": "smollm2", "instructions": "Be brief.", "input": "Say hello.", "max_output_tokens": 16},
        answered={
            "id": "resp_1",
            "object": "response",
            "created_at": 1767225600,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "model": "smollm2",
            "output": [
                {
                    "id": "msg_1_0",
                    "type": "message",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "Hello!", "annotations": [], "logprobs": []}],
                }
            ],
            "usage": {
                "input_tokens": 32,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 3,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 35,
            },
            "background": False,
            "instructions": "Be brief.",
            "max_output_tokens": 16,
            "metadata": {},
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "user": None,
        },
    ),
    Posted(
        name="message",
        paths=("/v1/messages",),
        says="Answer a chat in the form of Anthropic's Messages API",
        request=messages_request_schema(),
        answer="Message",
        event="MessageEvent",
        last_event="the last one is `message_stop`, or `error`",
        error="AnthropicError",
        asked={
            "model": "smollm2",
            "max_tokens": 16,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Say hello."}],
        },
        answered={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "smollm2",
            "content": [{"type": "text", "text": "Hello!"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 32, "output_tokens": 3},
        },
    ),
    Posted(
        name="complete",
        paths=("/v1/completions",),
        says="Continue a text, whole or as a stream",
        request=request_schema(Operation.COMPLETION),
        answer="Completion",
        event="Completion",
        asked={"model": "smollm2", "prompt": "The sea is", "max_tokens": 16},
        answered={
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1767225600,
            "model": "smollm2",
            "choices": [{"index": 0, "text": " wide.", "finish_reason": "stop"}],
            "usage": _usage(3, 3),
        },
    ),
    Posted(
        name="generate",
        paths=("/generate",),
        says="Continue a text, with fewer words around it",
        request=generate_request_schema(),
        answer="Generation",
        event="GenerationEvent",
        asked={"model": "smollm2", "inputs": "The sea is", "max_new_tokens": 16},
        answered={"model": "smollm2", "text": " wide.", "finish_reason": "stop", "usage": _usage(3, 3)},
    ),
    Posted(
        name="embed",
        paths=("/v1/embeddings", "/embeddings"),
        says="Turn texts into vectors",
        request=request_schema(Operation.EMBEDDING),
        answer="EmbeddingList",
        asked={"model": "minilm", "input": ["A ship lies at the quay.", "Bread is baked."]},
        answered={
            "object": "list",
            "data": [
                {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]},
                {"object": "embedding", "index": 1, "embedding": [0.8, -0.6]},
            ],
            "model": "minilm",
            "usage": _usage(16),
        },
    ),
    Posted(
        name="rerank",
        paths=("/v1/rerank", "/v2/rerank", "/rerank"),
        says="Sort documents by how well they answer a query, as Cohere, Jina and vLLM do",
        request=request_schema(Operation.RERANK),
        answer="RerankAnswer",
        asked={
            "model": "reranker",
            "query": "Where do ships lie?",
            "documents": ["Bread is baked.", {"text": "Ships lie at the quay."}],
            "top_n": 1,
            "return_documents": True,
        },
        answered={
            "id": "rerank-1",
            "model": "reranker",
            "results": [{"index": 1, "relevance_score": 0.98, "document": {"text": "Ships lie at the quay."}}],
            "usage": _usage(24),
        },
    ),
    Posted(
        name="classify",
        paths=("/v1/classify", "/classify"),
        says="Say what texts are, or which entities are in them, as vLLM does",
        request=request_schema(Operation.CLASSIFICATION),
        answer="ClassifyAnswer",
        asked={"model": "sentiment", "input": ["What a day!"]},
        answered=_list(
            "classify-1",
            "sentiment",
            6,
            {"index": 0, "label": "positive", "probs": [0.02, 0.98], "num_classes": 2},
            labels=["negative", "positive"],
        ),
        or_answered=_list(
            "classify-2",
            "names",
            6,
            {"index": 0, "entities": [{"label": "PER", "score": 0.99, "start": 0, "end": 3, "text": "Ada"}]},
        ),
    ),
    Posted(
        name="classifyImage",
        paths=("/v1/images/classify",),
        says="Say what pictures show",
        request=request_schema(Operation.IMAGE_CLASSIFICATION),
        answer="ImageClassifyAnswer",
        asked={"model": "animals", "image": PIXEL, "top_k": 1},
        answered=_list(
            "classify-3",
            "animals",
            0,
            {"index": 0, "label": "cat", "classes": [{"label": "cat", "score": 0.9}], "num_classes": 1000},
        ),
    ),
    Posted(
        name="detectObjects",
        paths=("/v1/images/detect",),
        says="Find the objects in pictures",
        request=request_schema(Operation.OBJECT_DETECTION),
        answer="ImageDetectAnswer",
        asked={"model": "detector", "image": [PIXEL], "threshold": 0.5},
        answered=_list(
            "detect-1",
            "detector",
            0,
            {
                "index": 0,
                "width": 640,
                "height": 480,
                "objects": [
                    {"label": "cat", "score": 0.9, "box": {"x": 12.5, "y": 40.0, "width": 200.0, "height": 180.0}}
                ],
            },
        ),
    ),
    Posted(
        name="recognizeText",
        paths=("/v1/images/recognize",),
        says="Read the text in pictures",
        request=request_schema(Operation.TEXT_RECOGNITION),
        answer="ImageRecognizeAnswer",
        asked={"model": "reader", "image": PIXEL},
        answered=_list("recognize-1", "reader", 0, {"index": 0, "text": "STOP", "score": 0.97}),
    ),
)

_MODEL: Final[Json] = {"id": "smollm2", "object": "model", "created": 1767225600, "owned_by": "default"}

READ: Final[tuple[Read, ...]] = (
    Read(
        name="listModels",
        path="/v1/models",
        says="Every name that can be asked for",
        answer=ref("ModelList"),
        answered={"object": "list", "data": [_MODEL]},
    ),
    Read(name="showModel", path="/v1/models/{id}", says="One of them", answer=ref("Model"), answered=_MODEL),
    Read(
        name="health",
        path="/health",
        says="The same as /health/ready",
        answer=ref("Health"),
        answered={"status": "ready"},
    ),
    Read(
        name="healthLive",
        path="/health/live",
        says="200 while the process works",
        answer=ref("Health"),
        answered={"status": "live"},
    ),
    Read(
        name="healthReady",
        path="/health/ready",
        says="200 once all models of an engine have answered; at the gateway, once it routes",
        answer=ref("Health"),
        answered={"status": "ready"},
    ),
    Read(
        name="openapi",
        path="/openapi.json",
        says="This document",
        answer=some({"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}),
        answered={"openapi": "3.1.0", "info": {"title": "Berth", "version": "1"}, "paths": {}},
    ),
    Read(
        name="metrics",
        path="/metrics",
        says="Figures of whoever answers, in Prometheus' text format",
        answer=TEXT,
        answered="berth_requests_in_flight 0\n",
        media_type="text/plain",
    ),
    Read(
        name="status",
        path="/status",
        says="The state of each model of an engine",
        answer=ref("Status"),
        answered={
            "models": [
                {
                    "name": "smollm2",
                    "engine": "LlamaCpp",
                    "task": "Chat",
                    "format": "GGUF",
                    "state": "Ready",
                    "message": "",
                    "restarts": 0,
                    "retryInSeconds": None,
                    "stages": [{"name": "Loaded", "milliseconds": 412}],
                    "inFlight": 0,
                    "queued": 0,
                    "contextLength": 8192,
                    "parallelRequests": 8,
                }
            ]
        },
        engine_only=True,
    ),
)
