"""What the tasks on texts differ in: the model's output, what becomes of it, and how a request is taken and answered.

One class for each task, by the protocol `TextTask`, in the table `TEXT_TASKS`; everything else they share, and
`berth_runtime.engines.text_engine` puts it together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from berth_api.artifact import Format, Task
from berth_api.errors import UnsupportedModel
from berth_runtime.engines import text_heads
from berth_runtime.engines.engine_arguments import Library, argument
from berth_runtime.engines.protocol import (
    ClassificationRequest,
    EmbeddingRequest,
    EngineSettings,
    LoadFailed,
    Operation,
    Request,
    RerankRequest,
    Rows,
)
from berth_runtime.engines.text_answers import EntitiesAnswer, RowsAnswer
from berth_runtime.engines.text_entities import Aggregation
from berth_runtime.engines.text_plan import (
    check_arguments,
    class_names,
    embedding_settings,
    quantizes,
    width,
)
from berth_runtime.engines.text_scheduler import Answer
from berth_runtime.engines.text_shape import Head, OutputShape, WantedOutput
from berth_runtime.engines.text_tokens import Input, Pair, TextTokenizer
from berth_store.convert.encoder_heads import POOLINGS
from berth_store.convert.served import ServedGraph, build_served_graph
from berth_store.detect import ClassifierSettings, EmbeddingSettings, Pooling, Problem

PROOF_TEXT: Final = "a"


class TextTask(Protocol):
    """One task of one model. Creating it reads the engine's arguments, and raises `LoadFailed`.

    `prompt` stands before each text, `spans` asks the tokenizer for the places of tokens, `truncates` says whether what
    is too long is cut unless the user says otherwise, `proof` is a request that shows whether the model answers.
    """

    operation: Operation
    parameters: frozenset[str]
    prompt: str
    spans: bool
    truncates: bool
    proof: Request
    max_sequence_length: int | None
    output: WantedOutput
    dimensions: int | None
    labels: tuple[str, ...]

    def graph(self) -> Path | ServedGraph:
        """The graph to load, for a library that runs graphs."""
        ...

    def fit(self, shape: OutputShape) -> None:
        """Compare what the graph declares with what the artifact's files say; sets `dimensions` and `labels`."""
        ...

    def head(self, tokenizer: TextTokenizer) -> Head:
        """What becomes of the graph's output."""
        ...

    def begin(self, request: Request) -> tuple[Sequence[Input], Answer] | None:
        """The inputs of a request, and where their results are collected; None if it is of another operation."""
        ...

    def check(self, answer: Rows | None) -> None:
        """Look at the answer to `proof`; raises `LoadFailed`."""
        ...


class Embedding:
    """A vector for each text."""

    operation = Operation.EMBEDDING
    parameters = frozenset({"encoding_format"})
    spans = False
    truncates = False
    proof: Request = EmbeddingRequest((PROOF_TEXT,))
    labels: tuple[str, ...] = ()

    def __init__(self, settings: EngineSettings, library: Library) -> None:
        check_arguments(settings.args, settings.task, library)
        found = embedding_settings(settings.model.embedding or EmbeddingSettings(pooling=None), settings.args)
        if found.pooling is None:
            raise LoadFailed(
                "the artifact does not say how the tokens' vectors become the text's; add modules.json and "
                f"1_Pooling/config.json, or give the engine argument pooling={'|'.join(Pooling)}"
            )
        self._settings = settings
        self._stated = found
        self._embedding, self._pooling = found, found.pooling
        if library.runs_graphs:
            self._embedding, self._pooling = _plan_pooling(found, found.pooling, settings.model.format)
        elif found.pooling is Pooling.IN_GRAPH:
            raise LoadFailed(
                f"the engine {library.engine} has no graph that pools; give the argument pooling another way"
            )
        self.prompt = found.default_prompt
        self.max_sequence_length = found.max_sequence_length
        self.dimensions: int | None = None
        in_graph = self._pooling is Pooling.IN_GRAPH
        self.output = WantedOutput(
            name=self._embedding.output,
            dimensions=2 if in_graph else 3,
            reason=f"pooling {self._pooling.value!r} needs one vector for {'the text' if in_graph else 'each token'}",
        )

    def graph(self) -> Path | ServedGraph:
        """With the pooling inside where the graph is made here and can do it."""
        return _graph(self._settings, self._stated.pooling, normalize=self._stated.normalize)

    def fit(self, shape: OutputShape) -> None:
        """Compare the length of a vector."""
        self.dimensions = width(shape, self._embedding)

    def head(self, tokenizer: TextTokenizer) -> Head:
        """Pool and normalise, as far as the graph does not."""
        skip_tokens = 0 if self._embedding.include_prompt else tokenizer.prompt_tokens()
        return text_heads.vectors(self._pooling, normalized=self._embedding.normalize, skip_tokens=skip_tokens)

    def begin(self, request: Request) -> tuple[Sequence[Input], Answer] | None:
        """A row for each input."""
        if not isinstance(request, EmbeddingRequest):
            return None
        return request.inputs, RowsAnswer(len(request.inputs))

    def check(self, answer: Rows | None) -> None:
        """Look at the vector."""
        vector = np.frombuffer(answer.values if answer else b"", dtype="<f4")
        if not vector.any():
            raise LoadFailed("the model answers with a vector of zeros; its weights are damaged: fetch them again")
        if self.dimensions is not None and len(vector) != self.dimensions:
            raise LoadFailed(
                f"the model answers with {len(vector)} dimensions, but its files declare {self.dimensions}; "
                f"the graph and its configuration are not of one model: export it again"
            )


class _Classifier:
    """What the tasks share whose graph ends with logits."""

    parameters: frozenset[str] = frozenset()
    prompt = ""
    spans = False
    truncates = False
    logits_dimensions = 2
    logits_reason = "this task needs one score of each class for the text"
    dimensions: int | None = None

    def __init__(self, settings: EngineSettings, library: Library) -> None:
        check_arguments(settings.args, settings.task, library)
        stated = settings.model.classifier or ClassifierSettings()
        self._settings = settings
        self._problem = stated.problem
        self.max_sequence_length = stated.max_sequence_length
        self.labels: tuple[str, ...] = ()
        self.output = WantedOutput(
            name=settings.args.get("output", stated.output),
            dimensions=self.logits_dimensions,
            reason=self.logits_reason,
        )

    def graph(self) -> Path | ServedGraph:
        return _graph(self._settings, None, normalize=False)

    def fit(self, shape: OutputShape) -> None:
        self.labels = class_names(shape, self._settings.model.labels)

    def check(self, answer: Rows | None) -> None:
        """There is nothing to look at: any finite score may be right."""


class Rerank(_Classifier):
    """A score for each pair of a query and a document. What is too long is cut, as the library of these models does."""

    operation = Operation.RERANK
    truncates = True
    proof: Request = RerankRequest(PROOF_TEXT, (PROOF_TEXT,))

    def fit(self, shape: OutputShape) -> None:
        """One label is a score; of two the second is yes."""
        labels = class_names(shape, self._settings.model.labels)
        if len(labels) > 2:
            raise LoadFailed(
                f"the model has the labels {', '.join(labels[:8])}, and a reranker has one, or no and yes; serve it "
                f"with the task TextClassification"
            )

    def head(self, tokenizer: TextTokenizer) -> Head:  # noqa: ARG002 - the protocol
        """Scores from 0 to 1."""
        return text_heads.scores

    def begin(self, request: Request) -> tuple[Sequence[Input], Answer] | None:
        """A pair for each document."""
        if not isinstance(request, RerankRequest):
            return None
        pairs = tuple(Pair(request.query, document) for document in request.documents)
        return pairs, RowsAnswer(len(pairs))


class TextClassification(_Classifier):
    """The probability of each class of a text."""

    operation = Operation.CLASSIFICATION
    proof: Request = ClassificationRequest((PROOF_TEXT,))

    def fit(self, shape: OutputShape) -> None:
        """The names of the classes."""
        if self._problem is Problem.REGRESSION:
            raise LoadFailed(
                "config.json states the problem_type 'regression': the model gives numbers and no classes; correct it "
                "if that is wrong, or serve a model with one label with the task Rerank"
            )
        super().fit(shape)

    def head(self, tokenizer: TextTokenizer) -> Head:  # noqa: ARG002 - the protocol
        """A single class is right or wrong by itself."""
        return text_heads.probabilities(
            multi_label=self._problem is Problem.MULTI_LABEL or len(self.labels) == 1,
        )

    def begin(self, request: Request) -> tuple[Sequence[Input], Answer] | None:
        """A row for each text."""
        if not isinstance(request, ClassificationRequest):
            return None
        return request.inputs, RowsAnswer(len(request.inputs))


class TokenClassification(_Classifier):
    """The entities in a text."""

    operation = Operation.CLASSIFICATION
    spans = True
    logits_dimensions = 3
    logits_reason = "this task needs one score of each class for each token"
    proof: Request = ClassificationRequest((PROOF_TEXT,))

    def __init__(self, settings: EngineSettings, library: Library) -> None:
        super().__init__(settings, library)
        chosen = argument(settings.args, "aggregation", Aggregation, Aggregation.FIRST, tuple(Aggregation))
        self._aggregation = chosen or Aggregation.FIRST

    def head(self, tokenizer: TextTokenizer) -> Head:  # noqa: ARG002 - the protocol
        """The probabilities of each token."""
        return text_heads.token_probabilities

    def begin(self, request: Request) -> tuple[Sequence[Input], Answer] | None:
        """A list of entities for each text."""
        if not isinstance(request, ClassificationRequest):
            return None
        return request.inputs, EntitiesAnswer(request.inputs, self.labels, self._aggregation)


TEXT_TASKS: Mapping[Task, Callable[[EngineSettings, Library], TextTask]] = {
    Task.EMBEDDING: Embedding,
    Task.RERANK: Rerank,
    Task.TEXT_CLASSIFICATION: TextClassification,
    Task.TOKEN_CLASSIFICATION: TokenClassification,
}


def _plan_pooling(
    found: EmbeddingSettings, pooling: Pooling, weights_format: Format
) -> tuple[EmbeddingSettings, Pooling]:
    """What is left to do after the graph: less, where the graph is made here and pools by itself."""
    if weights_format is not Format.SAFETENSORS or found.output is not None:
        return found, pooling
    if pooling in POOLINGS and found.include_prompt:
        return replace(found, output="sentence_embedding"), Pooling.IN_GRAPH
    return replace(found, output="last_hidden_state"), pooling


def _graph(settings: EngineSettings, pooling: Pooling | None, *, normalize: bool) -> Path | ServedGraph:
    model, int8 = settings.model, quantizes(settings)
    if model.format is not Format.SAFETENSORS:
        return model.weights[0]
    try:
        return build_served_graph(model, settings.task, pooling=pooling, normalize=normalize, int8=int8)
    except UnsupportedModel as error:
        raise LoadFailed(str(error)) from error
