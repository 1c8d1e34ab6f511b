"""The engine for ONNX on ONNX Runtime; in this version it serves embedding models.

`load` puts together what the neighbours `embedding_*` do: tokenizer, graph, pooling, and the threads that batch.
"""

from typing import Final

import numpy as np

from berth_api.artifact import Task
from berth_runtime.engines.embedding_graph import (
    EmbeddingGraph,
    Vectors,
    VectorSettings,
    open_session,
    read_shape,
)
from berth_runtime.engines.embedding_plan import batch_limits, embedding_settings, max_tokens, truncates, width
from berth_runtime.engines.embedding_scheduler import EmbeddingScheduler
from berth_runtime.engines.embedding_tokens import TextLimits, TextTokenizer, load_tokenizer
from berth_runtime.engines.first_reply import FirstReply
from berth_runtime.engines.protocol import (
    OTHER_OPERATION,
    Capabilities,
    EmbeddingRequest,
    Engine,
    EngineSettings,
    LoadFailed,
    Operation,
    Reply,
    Request,
    Rows,
)
from berth_runtime.engines.vision import OPERATIONS, VisionEngine
from berth_store.detect import EmbeddingSettings, Pooling

# Requests in the window at once when the user names no number: enough to find neighbours of a length.
PARALLEL_REQUESTS: Final = 128

PROOF_TEXT: Final = "a"
PARAMETERS: Final = frozenset({"encoding_format"})


def create(settings: EngineSettings) -> Engine:
    """The engine, with nothing loaded."""
    return VisionEngine(settings) if settings.task in OPERATIONS else OnnxRuntimeEngine(settings)


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
        tokenizer = self._load_tokenizer(limits, prompt=embedding.default_prompt)
        skip_tokens = 0 if embedding.include_prompt else tokenizer.prompt_tokens()
        vector = VectorSettings(pooling=embedding.pooling, normalize=embedding.normalize, skip_tokens=skip_tokens)
        graph = EmbeddingGraph(session, shape, vector, padding_id=tokenizer.padding_id)
        self._scheduler = EmbeddingScheduler(tokenizer, graph, batch_limits(shape), threads=settings.threads)
        self._scheduler.start()
        return Capabilities(
            parameters={Operation.EMBEDDING: PARAMETERS},
            parallel_requests=settings.parallel_sequences or PARALLEL_REQUESTS,
            context_length=limits.max_tokens,
            dimensions=self._dimensions,
        )

    def _load_tokenizer(self, limits: TextLimits, *, prompt: str) -> TextTokenizer:
        path = self._settings.model.tokenizer
        if path is None:
            raise LoadFailed("there is no tokenizer.json beside the graph; export the tokenizer too")
        return load_tokenizer(path, limits, prompt=prompt)

    def prove(self) -> None:
        """Embed one text, as a request would, and look at the vector."""
        proof = _Proof()
        self.submit(EmbeddingRequest((PROOF_TEXT,)), proof)
        proof.wait()
        if not proof.vector.any():
            raise LoadFailed("the model answers with a vector of zeros; its weights are damaged: fetch them again")
        if self._dimensions is not None and len(proof.vector) != self._dimensions:
            raise LoadFailed(
                f"the model answers with {len(proof.vector)} dimensions, but its files declare {self._dimensions}; "
                f"the graph and its configuration are not of one model: export it again"
            )

    def submit(self, request: Request, reply: Reply) -> None:
        """Take one embedding request."""
        if self._scheduler is None or not isinstance(request, EmbeddingRequest):
            reply.fail(OTHER_OPERATION)
            return
        self._scheduler.submit(request, reply)


class _Proof(FirstReply):
    """Waits for the vector, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.vector: Vectors = np.empty(0, np.float32)

    def rows(self, result: Rows) -> None:
        self.vector = np.frombuffer(result.values, dtype="<f4")
        super().rows(result)
