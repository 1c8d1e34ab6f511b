"""The engine for GGUF: llama.cpp by `xllamacpp`, continuous batching on as many threads as it has sequences.

Imported only inside a worker. Bodies go in and chunks come out as JSON bytes; the callback runs on the calling thread.
llama.cpp reads a prompt to its end whatever happens, so a client that leaves meanwhile holds its place until the
first token: the context length bounds that.
"""

import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from berth_api.artifact import Task
from berth_runtime.engines.first_reply import FirstReply, proof_request
from berth_runtime.engines.llamacpp_adapters import Adapters, Turns, check_adapters
from berth_runtime.engines.llamacpp_answers import translate_refusal
from berth_runtime.engines.llamacpp_draft import read_draft
from berth_runtime.engines.llamacpp_generation import Generation
from berth_runtime.engines.llamacpp_server import ServerFacts, start_server
from berth_runtime.engines.llamacpp_settings import plan_llamacpp
from berth_runtime.engines.llamacpp_spin import SpinGovernor, find_openmp
from berth_runtime.engines.llamacpp_vectors import VectorAnswers, gives_probabilities
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
    RerankRequest,
    Usage,
)
from berth_store.headers.gguf import read_gguf

if TYPE_CHECKING:
    import xllamacpp

SAMPLING: Final = {
    *("temperature", "top_p", "top_k", "min_p", "typical_p", "presence_penalty", "frequency_penalty"),
    *("repeat_penalty", "logit_bias", "seed", "stop", "n", "max_tokens", "ignore_eos", "stream", "stream_options"),
    "logprobs",
}
CHAT: Final = frozenset({*SAMPLING, "max_completion_tokens", "top_logprobs", "response_format", "chat_template_kwargs"})
TOOLS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
COMPLETION: Final = frozenset(SAMPLING)
NO_WORD: Final = Failure(500, "engine_error", "llama.cpp ended without an answer. Try again.")
EMBEDDING: Final = frozenset({"encoding_format"})


def create(settings: EngineSettings) -> "LlamaCppEngine":
    """The engine, without its model."""
    return LlamaCppEngine(settings)


class LlamaCppEngine:
    """One GGUF model; see `engines.protocol.Engine` for what each method promises."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._jobs: SimpleQueue[tuple[Request, Reply]] = SimpleQueue()
        self._adapters = Adapters(settings.name)
        self._turns = Turns()
        self._spin: AbstractContextManager[None] = nullcontext()
        self._server: xllamacpp.Server
        self._vectors: VectorAnswers

    def load(self) -> Capabilities:
        """Start llama.cpp with the model."""
        header = read_gguf(self._settings.model.weights[0])
        plan = plan_llamacpp(self._settings, header, read_draft(self._settings, header))
        self._adapters = check_adapters(self._settings)
        task = self._settings.task
        probabilities = task is Task.RERANK and gives_probabilities(header)
        self._server, facts = start_server(self._settings, header, plan)
        self._vectors = VectorAnswers(
            self._server,
            name=self._settings.name,
            vocabulary=header.vocabulary_size,
            probabilities=probabilities,
        )
        openmp = find_openmp()
        if openmp is not None:
            self._spin = SpinGovernor(openmp, plan.threads)
        for number in range(plan.sequences):
            threading.Thread(target=self._work, name=f"request-{number}", daemon=True).start()
        return Capabilities(
            parameters=served_parameters(task, facts),
            parallel_requests=plan.sequences,
            context_length=facts.context_length,
            pictures=facts.pictures,
            dimensions=header.embedding_length if task is Task.EMBEDDING else None,
        )

    def prove(self) -> None:
        """Answer once, and with each adapter: a token, a vector, or a score."""
        for name in served_names(self._settings):
            reply = FirstReply()
            self.submit(proof_request(self._settings.task, name), reply)
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
        if isinstance(request, EmbeddingRequest):
            self._vectors.embed(request, reply)
        elif isinstance(request, RerankRequest):
            self._vectors.rerank(request, reply)
        elif not isinstance(request, ChatRequest | CompletionRequest):
            reply.fail(OTHER_OPERATION)
        else:
            generation = Generation.of(request, self._adapters)
            if isinstance(generation, Failure):
                reply.fail(generation)
            else:
                with self._turns.turn(generation.adapter):
                    self._generate(generation, reply)

    def _generate(self, generation: Generation, reply: Reply) -> None:
        if reply.gone:
            reply.finish(Usage(0))
            return
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
            reply.fail(generation.blame(failure))
            return
        if not generation.stream and events:
            reply.chunk((join_chat if generation.chat else join_text)(events, reader.usage))
        elif generation.include_usage and reader.has_spoken and not reply.gone:
            reply.chunk(reader.usage_event())
        reply.finish(reader.usage)


def served_parameters(task: Task, facts: ServerFacts) -> dict[Operation, frozenset[str]]:
    """The operations of a task, with the fields that each honours; tools only where the template can write them."""
    match task:
        case Task.EMBEDDING:
            return {Operation.EMBEDDING: EMBEDDING}
        case Task.RERANK:
            return {Operation.RERANK: frozenset()}
        case _:
            chat = CHAT | TOOLS if facts.supports_tools else CHAT
            return {Operation.CHAT: chat, Operation.COMPLETION: COMPLETION}


def served_names(settings: EngineSettings) -> tuple[str, ...]:
    """What requests may be for: the model, and each of its adapters."""
    return (settings.name, *(f"{settings.name}:{adapter}" for adapter in settings.adapters))


def call_engine(handle: Callable[..., None], body: bytes, take: Callable[[bytes], bool]) -> Failure | None:
    """Run one request; the failure where llama.cpp refuses it by raising."""
    try:
        handle(body, take)
    except (ValueError, RuntimeError) as error:
        return translate_refusal(str(error))
    return None
