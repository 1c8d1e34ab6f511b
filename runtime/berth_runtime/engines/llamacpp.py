"""The engine for GGUF: llama.cpp by `xllamacpp`, continuous batching on as many threads as it has sequences.

Imported only inside a worker. Bodies go in and chunks come out as JSON bytes; the callback runs on the calling thread.
llama.cpp reads a prompt to its end whatever happens, so a client that leaves meanwhile holds its place until the
first token: the context length bounds that.
"""

import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from berth_api.artifact import Task
from berth_runtime.engines.first_reply import FirstReply
from berth_runtime.engines.llamacpp_answers import CONTEXT_EXCEEDED, ChunkReader, translate_error, translate_refusal
from berth_runtime.engines.llamacpp_logprobs import ask_for_logprobs
from berth_runtime.engines.llamacpp_server import ServerFacts, start_server
from berth_runtime.engines.llamacpp_settings import plan_llamacpp
from berth_runtime.engines.llamacpp_spin import SpinGovernor, find_openmp
from berth_runtime.engines.llamacpp_whole import join_chat, join_text
from berth_runtime.engines.protocol import (
    OTHER_OPERATION,
    Capabilities,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    EngineSettings,
    Failure,
    Operation,
    Reply,
    Request,
    Rows,
    Usage,
)
from berth_store.headers.gguf import read_gguf

if TYPE_CHECKING:
    import xllamacpp

Json = dict[str, Any]

SAMPLING: Final = {
    *("temperature", "top_p", "top_k", "min_p", "typical_p", "presence_penalty", "frequency_penalty"),
    *("repeat_penalty", "logit_bias", "seed", "stop", "n", "max_tokens", "ignore_eos", "stream", "stream_options"),
    "logprobs",
}
CHAT: Final = frozenset({*SAMPLING, "max_completion_tokens", "top_logprobs", "response_format", "chat_template_kwargs"})
TOOLS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
COMPLETION: Final = frozenset(SAMPLING)
# llama.cpp takes "required" and the name of a function too, and then does not keep to them.
TOOL_CHOICES: Final = (None, "auto", "none")
CALL_NOT_FORCED: Final = Failure(
    400, "unsupported_parameter", "'tool_choice' may be auto or none: this engine can't force a call.", "tool_choice"
)
NO_WORD: Final = Failure(500, "engine_error", "llama.cpp ended without an answer. Try again.")
EMBEDDING: Final = frozenset({"encoding_format"})


def create(settings: EngineSettings) -> "LlamaCppEngine":
    """The engine, without its model."""
    return LlamaCppEngine(settings)


class LlamaCppEngine:
    """One GGUF model; see `engines.protocol.Engine` for what each method promises."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._embeds = settings.task is Task.EMBEDDING
        self._jobs: SimpleQueue[tuple[Request, Reply]] = SimpleQueue()
        self._spin: AbstractContextManager[None] = nullcontext()
        self._server: xllamacpp.Server

    def load(self) -> Capabilities:
        """Start llama.cpp with the model."""
        header = read_gguf(self._settings.model.weights[0])
        plan = plan_llamacpp(self._settings, header)
        self._server, facts = start_server(self._settings, header, plan)
        openmp = find_openmp()
        if openmp is not None:
            self._spin = SpinGovernor(openmp, plan.threads)
        for number in range(plan.sequences):
            threading.Thread(target=self._work, name=f"request-{number}", daemon=True).start()
        return Capabilities(
            parameters={Operation.EMBEDDING: EMBEDDING} if self._embeds else generation_parameters(facts),
            parallel_requests=plan.sequences,
            context_length=plan.context_length,
            dimensions=header.embedding_length if self._embeds else None,
        )

    def prove(self) -> None:
        """Answer once: a token, or a vector."""
        reply = FirstReply()
        body = orjson.dumps({"prompt": "a", "max_tokens": 1, "model": self._settings.name})
        self.submit(EmbeddingRequest(("a",)) if self._embeds else CompletionRequest(body, stream=False), reply)
        reply.wait()

    def submit(self, request: Request, reply: Reply) -> None:
        """Leave the request to the next free thread."""
        self._jobs.put((request, reply))

    def _work(self) -> None:
        while True:
            request, reply = self._jobs.get()
            try:
                with self._spin:
                    self._answer(request, reply)
            except Exception:  # noqa: BLE001 - the outermost loop of this thread; one request's bug is not the others'
                traceback.print_exc()
                reply.fail(Failure(500, "engine_error", "The engine failed on this request; its log has the reason."))

    def _answer(self, request: Request, reply: Reply) -> None:
        if reply.gone:
            reply.finish(Usage(0))
        elif isinstance(request, EmbeddingRequest):
            self._embed(request, reply)
        elif not isinstance(request, ChatRequest | CompletionRequest):
            reply.fail(OTHER_OPERATION)
        elif orjson.loads(request.body).get("tool_choice") not in TOOL_CHOICES:
            reply.fail(CALL_NOT_FORCED)
        else:
            self._generate(Generation.of(request), reply)

    def _generate(self, generation: "Generation", reply: Reply) -> None:
        reader, events = generation.reader, list[bytes]()
        deliver = reply.chunk if generation.stream else events.append

        raised: list[Exception] = []

        def take(chunk: bytes) -> bool:
            try:
                event = reader.read(chunk)
                if event is not None:
                    deliver(event)
            except Exception as error:  # noqa: BLE001 - xllamacpp swallows what a callback raises
                raised.append(error)
                return True
            return reply.gone

        handle = self._server.handle_chat_completions if generation.chat else self._server.handle_completions
        failure = call_engine(handle, generation.body, take) or reader.failure
        if raised:
            raise raised[0]
        if failure is None and not reader.has_spoken and not reply.gone:
            failure = NO_WORD
        if failure is not None:
            reply.fail(failure)
            return
        if not generation.stream and events:
            reply.chunk((join_chat if generation.chat else join_text)(events, reader.usage))
        elif generation.include_usage and reader.has_spoken and not reply.gone:
            reply.chunk(reader.usage_event())
        reply.finish(reader.usage)

    def _embed(self, request: EmbeddingRequest, reply: Reply) -> None:
        result = self._embed_inputs(request.inputs)
        if isinstance(result, Rows):
            reply.rows(result)
        else:
            reply.fail(self._blame_input(request.inputs, result))

    def _embed_inputs(self, inputs: Sequence[str | tuple[int, ...]]) -> Rows | Failure:
        body = orjson.dumps({"input": inputs, "model": self._settings.name, "encoding_format": "float"})
        try:
            answer: bytes = self._server.handle_embeddings(body)
        except (ValueError, RuntimeError) as error:
            return translate_refusal(str(error))
        return read_embeddings(answer)

    def _blame_input(self, inputs: Sequence[str | tuple[int, ...]], failure: Failure) -> Failure:
        """llama.cpp does not say which input was too long; asking it for the longest alone does, at once."""
        longest = max(range(len(inputs)), key=lambda index: len(inputs[index]))
        if failure.code != CONTEXT_EXCEEDED:
            return failure
        alone = self._embed_inputs((inputs[longest],))
        if not isinstance(alone, Failure):
            return failure
        param = f"input[{longest}]"
        return Failure(alone.status, alone.code, f"{param}: {alone.message}", param)


@dataclass(frozen=True)
class Generation:
    """A chat or completion request as llama.cpp is asked it: always a stream, always with usage."""

    chat: bool
    stream: bool
    include_usage: bool
    body: bytes
    reader: ChunkReader

    @classmethod
    def of(cls, request: ChatRequest | CompletionRequest) -> "Generation":
        """The request, with what must be different for llama.cpp."""
        body: Json = orjson.loads(request.body)
        chat = isinstance(request, ChatRequest)
        include_usage = bool(body.get("stream_options", {}).get("include_usage"))
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        reader = ChunkReader(
            prompts=1 if chat else count_prompts(body["prompt"]),
            choices=int(body.get("n", 1)),
            logprobs=ask_for_logprobs(body, chat=chat),
        )
        return cls(chat, request.stream, request.stream and include_usage, orjson.dumps(body), reader)


def read_embeddings(answer: bytes) -> Rows | Failure:
    """llama.cpp's list of vectors as rows of float32, or its error."""
    parsed = orjson.loads(answer)
    if "error" in parsed:
        return translate_error(parsed["error"])
    rows = [row["embedding"] for row in sorted(parsed["data"], key=lambda row: int(row["index"]))]
    vectors = np.asarray(rows, dtype="<f4")
    return Rows(vectors.tobytes(), vectors.shape[1], parsed["usage"]["prompt_tokens"])


def generation_parameters(facts: ServerFacts) -> dict[Operation, frozenset[str]]:
    """What generation honours; tools only where the model's template can write them down."""
    return {Operation.CHAT: CHAT | TOOLS if facts.supports_tools else CHAT, Operation.COMPLETION: COMPLETION}


def count_prompts(prompt: object) -> int:
    """A text or a list of token ids is one prompt, a list of those is as many."""
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        return len(prompt)
    return 1


def call_engine(handle: Callable[..., None], body: bytes, take: Callable[[bytes], bool]) -> Failure | None:
    """Run one request; the failure where llama.cpp refuses it by raising."""
    try:
        handle(body, take)
    except (ValueError, RuntimeError) as error:
        return translate_refusal(str(error))
    return None
