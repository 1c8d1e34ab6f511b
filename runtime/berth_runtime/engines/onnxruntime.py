"""The engine for ONNX on ONNX Runtime; in this version it serves embedding models.

`load` puts together what the neighbours `embedding_*` do: tokenizer, graph, pooling, and the threads that batch.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import numpy as np

from berth_api.artifact import Task
from berth_runtime.engines.embedding_graph import EmbeddingGraph, GraphShape, VectorSettings, open_session, read_shape
from berth_runtime.engines.embedding_scheduler import EmbeddingScheduler
from berth_runtime.engines.embedding_tokens import TextLimits, load_tokenizer
from berth_runtime.engines.embedding_window import BatchLimits
from berth_runtime.engines.protocol import (
    Capabilities,
    EmbeddingRequest,
    EmbeddingResult,
    Engine,
    EngineSettings,
    Failure,
    LoadFailed,
    Operation,
    Reply,
    Request,
    Usage,
)
from berth_store.detect import EmbeddingSettings, Pooling

# Requests in the window at once when the user names no number: enough to find neighbours of a length.
PARALLEL_REQUESTS: Final = 128

# The longest sequence where neither the artifact nor the user says one: what BERT was trained with.
UNSTATED_MAX_TOKENS: Final = 512

PROOF_TEXT: Final = "Does this model answer?"

T = TypeVar("T")
ARGUMENTS: Final = ("normalize", "output", "pooling", "truncate")


def create(settings: EngineSettings) -> Engine:
    """The engine, with nothing loaded."""
    return OnnxRuntimeEngine(settings)


class OnnxRuntimeEngine:
    """One ONNX embedding model."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._scheduler: EmbeddingScheduler | None = None
        self._dimensions: int | None = None

    def load(self) -> Capabilities:
        """Read tokenizer and weights, check that they fit together, and start the threads."""
        settings = self._settings
        if settings.task is not Task.EMBEDDING:
            raise LoadFailed(
                f"the engine OnnxRuntime can't do the task {settings.task} yet; set the task Embedding, or serve it "
                f"with another engine"
            )
        embedding = embedding_settings(settings.model.embedding or EmbeddingSettings(pooling=None), settings.args)
        if embedding.pooling is None:
            raise LoadFailed(
                "the artifact does not say how the tokens' vectors become the text's; add modules.json and "
                f"1_Pooling/config.json, or give the engine argument pooling={'|'.join(Pooling)}"
            )
        session = open_session(settings.model.weights[0])
        shape = read_shape(session, output=embedding.output, pooling=embedding.pooling)
        self._dimensions = width(shape, embedding)
        limits = TextLimits(max_tokens=max_tokens(settings, shape, embedding), truncate=truncates(settings.args))
        if settings.model.tokenizer is None:
            raise LoadFailed("there is no tokenizer.json beside the graph; export the tokenizer too")
        tokenizer = load_tokenizer(settings.model.tokenizer, limits, prompt=embedding.default_prompt)
        vector = VectorSettings(
            pooling=embedding.pooling,
            normalize=embedding.normalize,
            skip_tokens=0 if embedding.include_prompt else tokenizer.prompt_tokens(),
        )
        graph = EmbeddingGraph(session, shape, vector, padding_id=tokenizer.padding_id)
        self._scheduler = EmbeddingScheduler(tokenizer, graph, batch_limits(shape), threads=settings.threads)
        self._scheduler.start()
        return Capabilities(
            parameters={Operation.EMBEDDING: frozenset()},
            parallel_requests=settings.parallel_sequences or PARALLEL_REQUESTS,
            context_length=limits.max_tokens,
            dimensions=self._dimensions,
        )

    def prove(self) -> None:
        """Embed one text, as a request would, and look at the vector."""
        proof = _Proof()
        self.submit(EmbeddingRequest((PROOF_TEXT,)), proof)
        proof.ended.wait()
        if proof.result is None:
            raise LoadFailed(f"the model did not answer its first request: {proof.failure}")
        vector = np.frombuffer(proof.result.vectors, dtype="<f4")
        if not vector.any():
            raise LoadFailed("the model answers with a vector of zeros; its weights are damaged: fetch them again")
        if self._dimensions is not None and len(vector) != self._dimensions:
            raise LoadFailed(
                f"the model answers with {len(vector)} dimensions, but its files declare {self._dimensions}; "
                f"the graph and its configuration are not of one model: export it again"
            )

    def submit(self, request: Request, reply: Reply) -> None:
        """Take one embedding request."""
        if self._scheduler is None or not isinstance(request, EmbeddingRequest):
            reply.fail(Failure(400, "unsupported_operation", "this model makes embeddings; ask /v1/embeddings"))
            return
        self._scheduler.submit(request, reply)


class _Proof:
    """The reply to the proof: it keeps what comes and wakes whoever waits."""

    gone: Final = False

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.result: EmbeddingResult | None = None
        self.failure = "it ended without a vector"

    def chunk(self, data: bytes) -> None:
        """Vectors come whole."""

    def finish(self, usage: Usage) -> None:  # noqa: ARG002 - a method of the Protocol
        """End without a vector."""
        self.ended.set()

    def vectors(self, result: EmbeddingResult) -> None:
        """End with one."""
        self.result = result
        self.ended.set()

    def fail(self, failure: Failure) -> None:
        """End with an error."""
        self.failure = failure.message
        self.ended.set()


def embedding_settings(found: EmbeddingSettings, args: Mapping[str, str]) -> EmbeddingSettings:
    """What detection found, with the user's engine arguments before it; raises `LoadFailed` for an unknown one."""
    unknown = sorted(args.keys() - set(ARGUMENTS))
    if unknown:
        raise LoadFailed(
            f"the engine OnnxRuntime has no argument {unknown[0]!r}; for embeddings there are {', '.join(ARGUMENTS)}"
        )
    return EmbeddingSettings(
        pooling=_argument(args, "pooling", Pooling, found.pooling),
        normalize=_argument(args, "normalize", _flag, found.normalize),
        max_sequence_length=found.max_sequence_length,
        dimensions=found.dimensions,
        output=args.get("output", found.output),
        default_prompt=found.default_prompt,
        include_prompt=found.include_prompt,
    )


def truncates(args: Mapping[str, str]) -> bool:
    """Whether texts that are too long are cut; otherwise they are refused, as OpenAI does."""
    return _argument(args, "truncate", _flag, False)


def width(shape: GraphShape, embedding: EmbeddingSettings) -> int | None:
    """The length of a vector; raises `LoadFailed` if the graph and the artifact's configuration differ."""
    if shape.width and embedding.dimensions and shape.width != embedding.dimensions:
        raise LoadFailed(
            f"the graph's output has {shape.width} dimensions, but the artifact's configuration says "
            f"{embedding.dimensions}; export the model again"
        )
    return shape.width or embedding.dimensions


def max_tokens(settings: EngineSettings, shape: GraphShape, embedding: EmbeddingSettings) -> int:
    """The longest sequence: the user's word, within what the model has positions for; else the artifact's own."""
    hard = [limit for limit in (settings.model.artifact.context_length, shape.fixed_length) if limit]
    wanted = settings.context_length
    if wanted and hard and wanted > min(hard):
        raise LoadFailed(f"a context length of {wanted} was asked for, but this model takes {min(hard)} tokens at most")
    return wanted or min([*hard, embedding.max_sequence_length or UNSTATED_MAX_TOKENS])


def batch_limits(shape: GraphShape) -> BatchLimits:
    """How batches are built: the measured default, narrower where the graph can't take it."""
    return BatchLimits(
        max_sequences=shape.fixed_rows or BatchLimits.max_sequences,
        max_padding=BatchLimits.max_padding if shape.masks else 0.0,
    )


def _argument(args: Mapping[str, str], name: str, parse: Callable[[str], T], default: T) -> T:
    value = args.get(name)
    if value is None:
        return default
    try:
        return parse(value)
    except ValueError as error:
        allowed = "true or false" if parse is _flag else ", ".join(Pooling)
        raise LoadFailed(f"the engine argument {name}={value} is not known; it may be {allowed}") from error


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError(value)
    return value == "true"
