"""What clients ask of a vLLM, made into what its own routes take; pure.

Requests are read by the rules of every engine here (`berth_runtime.openai`): what nobody knows is left out and named in
a header, what this engine does not honour is refused, and only text comes in, so that no request makes vLLM fetch a
picture from an address.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from berth_api.artifact import Task
from berth_api.openai_errors import ErrorCode
from berth_runtime.dialects.table import DIALECTS
from berth_runtime.dialects.translation import Translate
from berth_runtime.engines.protocol import Capabilities, Failure, Operation
from berth_runtime.openai.errors import ApiError, refuse
from berth_runtime.openai.form import OPENAI, AnswerForm, OpenAiForm
from berth_runtime.openai.generate import read_generate, render_generate, render_generate_event
from berth_runtime.openai.parameters import read_parameters
from berth_runtime.openai.prompts import read_inputs, read_messages, read_prompt
from berth_runtime.openai.rerank import read_documents, read_query

Json = dict[str, Any]

# What has an effect in vLLM, by the names that every engine here has for it.
_GENERATION: Final = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repeat_penalty", "logit_bias"}
    | {"seed", "stop", "n", "max_tokens", "ignore_eos", "stream", "stream_options", "logprobs"}
)
_CHAT: Final = _GENERATION | {"max_completion_tokens", "top_logprobs", "response_format", "chat_template_kwargs"}
_TOOLS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_OTHER_NAMES: Final = {"repeat_penalty": "repetition_penalty"}


@dataclass(frozen=True)
class Call:
    """One request to vLLM. `form` writes its answer, `blame` names what the client sent in what vLLM refuses."""

    path: str
    body: bytes
    stream: bool = False
    form: AnswerForm = OPENAI
    ignored: tuple[str, ...] = ()
    blame: Callable[[Failure], Failure] = lambda failure: failure


@dataclass(frozen=True)
class Subject:
    """Whom a request is for, and what that model can do."""

    name: str
    capabilities: Capabilities


def read_json(raw: bytes) -> Json:
    """The body as an object. Raises `ApiError`."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise refuse(f"The body is not JSON: {error}.", param=None, code=ErrorCode.INVALID_JSON) from error
    if not isinstance(body, dict):
        raise refuse("The body has to be a JSON object.", param=None, code=ErrorCode.INVALID_JSON)
    return body


def what_it_can(
    task: Task, *, tools: bool, parallel_requests: int, context_length: int | None, dimensions: int | None = None
) -> Capabilities:
    """What a vLLM serves for a task. `tools` where it reads calls out of the model's text."""
    parameters: dict[Operation, frozenset[str]]
    match task:
        case Task.CHAT:
            parameters = {Operation.CHAT: _CHAT | _TOOLS if tools else _CHAT, Operation.COMPLETION: _GENERATION}
        case Task.EMBEDDING:
            parameters = {Operation.EMBEDDING: frozenset({"encoding_format", "dimensions"})}
        case Task.RERANK:
            parameters = {Operation.RERANK: frozenset()}
        case _:
            parameters = {Operation.COMPLETION: _GENERATION}
    return Capabilities(
        parameters=parameters,
        parallel_requests=parallel_requests,
        context_length=context_length,
        dimensions=dimensions,
    )


def build_chat(body: Json, subject: Subject) -> Call:
    """`/v1/chat/completions`."""
    given, ignored = _take(body, Operation.CHAT, subject)
    return _call("/v1/chat/completions", {**given, "messages": read_messages(body.get("messages"))}, subject, ignored)


def build_translated(translate: Translate) -> Callable[[Json, Subject], Call]:
    """Chats in the words of another API. vLLM has some of these itself, with fields and memory of its own: here they
    are what they are with every engine.
    """

    def build(body: Json, subject: Subject) -> Call:
        _require(Operation.CHAT, subject)
        translation = translate(body)
        try:
            call = build_chat(translation.chat, subject)
        except ApiError as error:
            raise translation.names.blame_error(error) from error
        return replace(call, form=translation.form, ignored=translation.ignored, blame=translation.names.blame)

    return build


def build_completion(body: Json, subject: Subject) -> Call:
    """`/v1/completions`."""
    given, ignored = _take(body, Operation.COMPLETION, subject)
    prompt, _ = read_prompt(body.get("prompt"))
    return _call("/v1/completions", {**given, "prompt": prompt}, subject, ignored)


def build_generate(body: Json, subject: Subject) -> Call:
    """`/generate`: a completion with fewer words."""
    call = build_completion(read_generate(body), subject)
    return replace(call, form=OpenAiForm(render_generate_event if call.stream else render_generate))


def build_embeddings(body: Json, subject: Subject) -> Call:
    """`/v1/embeddings`."""
    given, ignored = _take(body, Operation.EMBEDDING, subject)
    inputs = read_inputs(body.get("input"))
    if given.get("dimensions") == subject.capabilities.dimensions:
        given.pop("dimensions", None)  # as long as they are anyway: nothing is asked
    return _call("/v1/embeddings", {**given, "input": list(inputs)}, subject, ignored)


def build_rerank(body: Json, subject: Subject) -> Call:
    """`/v1/rerank`."""
    given, ignored = _take(body, Operation.RERANK, subject)
    query, documents = read_query(body.get("query")), read_documents(body.get("documents"))
    most = min(given.get("top_n", 0), len(documents))
    call = _call("/rerank", {"query": query, "documents": list(documents), "top_n": most}, subject, ignored)
    return call if given.get("return_documents") else replace(call, form=OpenAiForm(_without_documents))


def refuse_work(operation: Operation) -> Callable[[Json, Subject], Call]:
    """For addresses of work that no vLLM does here."""

    def build(body: Json, subject: Subject) -> Call:  # noqa: ARG001 - the signature of a builder
        _require(operation, subject)
        raise AssertionError("the operation is none of vLLM's")

    return build


def _without_documents(answer: bytes) -> bytes:
    read: Json = orjson.loads(answer)
    for result in read["results"]:
        result.pop("document", None)
    return orjson.dumps(read)


def _take(body: Json, operation: Operation, subject: Subject) -> tuple[Json, tuple[str, ...]]:
    _require(operation, subject)
    parameters = read_parameters(body, operation, subject.capabilities)
    return {_OTHER_NAMES.get(name, name): value for name, value in parameters.given.items()}, parameters.ignored


def _require(operation: Operation, subject: Subject) -> None:
    able = subject.capabilities.parameters
    if operation not in able:
        raise refuse(
            f"The model {subject.name!r} does not serve {operation} requests; it serves {', '.join(sorted(able))}.",
            param="model",
            code=ErrorCode.OPERATION_NOT_SUPPORTED,
            status=404,
        )


def _call(path: str, body: Json, subject: Subject, ignored: tuple[str, ...]) -> Call:
    try:
        written = orjson.dumps({**body, "model": subject.name})
    except TypeError as error:
        raise refuse(f"The body is nested too deeply: {error}.", param=None, code=ErrorCode.INVALID_JSON) from error
    return Call(path, written, bool(body.get("stream")), ignored=ignored)


BUILDERS: Final[Mapping[str, Callable[[Json, Subject], Call]]] = {
    "/v1/chat/completions": build_chat,
    **{path: build_translated(translate) for path, translate in DIALECTS.items()},
    "/v1/completions": build_completion,
    "/v1/embeddings": build_embeddings,
    "/embeddings": build_embeddings,
    "/v1/rerank": build_rerank,
    "/v2/rerank": build_rerank,
    "/rerank": build_rerank,
    "/generate": build_generate,
    "/v1/classify": refuse_work(Operation.CLASSIFICATION),
    "/classify": refuse_work(Operation.CLASSIFICATION),
    "/v1/images/classify": refuse_work(Operation.IMAGE_CLASSIFICATION),
    "/v1/images/detect": refuse_work(Operation.OBJECT_DETECTION),
    "/v1/images/recognize": refuse_work(Operation.TEXT_RECOGNITION),
}
"""Every address of work, as every engine has it. Nothing else of vLLM's own is let through."""


def build_proof(task: Task, name: str) -> Call:
    """The request by which a model proves that it answers: one token, one vector, one score."""
    path: str
    body: Json
    match task:
        case Task.EMBEDDING:
            path, body = "/v1/embeddings", {"input": "Hello"}
        case Task.RERANK:
            path, body = "/rerank", {"query": "Hello", "documents": ["Hello"]}
        case _:
            path, body = "/v1/completions", {"prompt": "Hello", "max_tokens": 1}
    return Call(path, orjson.dumps({**body, "model": name}))
