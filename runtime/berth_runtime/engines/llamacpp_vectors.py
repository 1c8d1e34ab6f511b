"""Vectors of texts and scores of documents from llama.cpp. Used by `engines.llamacpp`.

llama.cpp works on all inputs of a call and can't be stopped meanwhile, so many inputs are given to it in pieces:
between two of them it is seen whether anybody still waits.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from berth_runtime.engines.llamacpp_answers import translate_error, translate_refusal
from berth_runtime.engines.protocol import EmbeddingRequest, Failure, LoadFailed, Reply, RerankRequest, Rows, Usage
from berth_runtime.engines.written import CONTEXT_EXCEEDED
from berth_store.headers.gguf import GgufHeader

Inputs = Sequence[str | tuple[int, ...]]
Work = Callable[[Inputs], Rows | Failure]

INPUTS_AT_ONCE: Final = 64
# llama.cpp ends these with a softmax over two classes, "yes" and "no"; all others end with what the head computed.
SOFTMAX_ARCHITECTURES: Final = frozenset({"qwen3", "qwen3vl"})
NO_SCORE: Final = -1e6  # what llama.cpp says where it has none
SCORE_MISSING: Final = Failure(500, "engine_error", "llama.cpp had no score for a document. Try again.")


class VectorServer(Protocol):
    """What is asked of `xllamacpp.Server` here: JSON in, JSON out."""

    def handle_embeddings(self, body: bytes) -> bytes:
        """OpenAI's list of vectors, or an error object."""
        ...

    def handle_rerank(self, body: bytes) -> bytes:
        """Jina's list of scores, or an error object."""
        ...


class VectorAnswers:
    """Answers the two sorts of requests that end with a matrix; `vocabulary` is the number of tokens, if known."""

    def __init__(self, server: VectorServer, *, name: str, vocabulary: int | None, probabilities: bool) -> None:
        self._server = server
        self._name = name
        self._vocabulary = vocabulary
        self._probabilities = probabilities

    def embed(self, request: EmbeddingRequest, reply: Reply) -> None:
        """One vector for each input."""
        unknown = find_unknown_token(request.inputs, self._vocabulary)
        if unknown is not None:
            reply.fail(unknown)
        else:
            answer_in_pieces(request.inputs, self._embed, reply, param="input")

    def rerank(self, request: RerankRequest, reply: Reply) -> None:
        """One score for each document."""
        answer_in_pieces(request.documents, partial(self._score, request.query), reply, param="documents")

    def _embed(self, inputs: Inputs) -> Rows | Failure:
        body = {"input": inputs, "model": self._name, "encoding_format": "float"}
        return self._ask(self._server.handle_embeddings, body, read_embeddings)

    def _score(self, query: str, documents: Inputs) -> Rows | Failure:
        read = partial(read_scores, probabilities=self._probabilities)
        return self._ask(self._server.handle_rerank, {"query": query, "documents": documents}, read)

    def _ask(
        self, handle: Callable[[bytes], bytes], body: dict[str, Any], read: Callable[[bytes], Rows | Failure]
    ) -> Rows | Failure:
        try:
            return read(handle(orjson.dumps(body)))
        except (ValueError, RuntimeError) as error:
            return translate_refusal(str(error))


def answer_in_pieces(inputs: Inputs, work: Work, reply: Reply, *, param: str) -> None:
    """Do the work on some of the inputs at a time, as long as somebody waits for it."""
    done: list[Rows] = []
    for start in range(0, len(inputs), INPUTS_AT_ONCE):
        if reply.gone:
            reply.finish(Usage(0))
            return
        piece = inputs[start : start + INPUTS_AT_ONCE]
        result = work(piece)
        if isinstance(result, Failure):
            reply.fail(blame_input(piece, work, result, param=param, start=start))
            return
        done.append(result)
    reply.rows(join_rows(done))


def blame_input(inputs: Inputs, work: Work, failure: Failure, *, param: str, start: int) -> Failure:
    """llama.cpp does not say which input was too long; asking it for the longest alone does, at once."""
    if failure.code != CONTEXT_EXCEEDED:
        return failure
    longest = max(range(len(inputs)), key=lambda index: len(inputs[index]))
    alone = work((inputs[longest],))
    if not isinstance(alone, Failure):
        return failure
    name = f"{param}[{start + longest}]"
    return Failure(alone.status, alone.code, f"{name}: {alone.message}", name)


def find_unknown_token(inputs: Inputs, vocabulary: int | None) -> Failure | None:
    """The error for the first token id that the model does not have."""
    for index, tokens in enumerate(inputs):
        if isinstance(tokens, str) or vocabulary is None:
            continue
        wrong = next((token for token in tokens if token >= vocabulary), None)
        if wrong is not None:
            name = f"input[{index}]"
            message = f"{name} has the token id {wrong}, and this model's vocabulary ends with {vocabulary - 1}."
            return Failure(400, "invalid_value", message, name)
    return None


def join_rows(pieces: Sequence[Rows]) -> Rows:
    """One matrix out of several of one width."""
    values = b"".join(piece.values for piece in pieces)
    return Rows(values, pieces[0].columns, sum(piece.prompt_tokens for piece in pieces))


def read_embeddings(answer: bytes) -> Rows | Failure:
    """llama.cpp's list of vectors as rows of float32, or its error."""
    parsed = orjson.loads(answer)
    if "error" in parsed:
        return translate_error(parsed["error"])
    rows = [row["embedding"] for row in sorted(parsed["data"], key=lambda row: int(row["index"]))]
    vectors = np.asarray(rows, dtype="<f4")
    return Rows(vectors.tobytes(), vectors.shape[1], parsed["usage"]["prompt_tokens"])


def read_scores(answer: bytes, *, probabilities: bool) -> Rows | Failure:
    """llama.cpp's list of scores, which it sorts, as a column in the order of the documents; or its error."""
    parsed = orjson.loads(answer)
    if "error" in parsed:
        return translate_error(parsed["error"])
    results = sorted(parsed["results"], key=lambda result: int(result["index"]))
    scores = np.asarray([result["relevance_score"] for result in results], dtype=np.float64)
    if (scores <= NO_SCORE).any():
        return SCORE_MISSING
    scaled = scores if probabilities else to_probabilities(scores)
    return Rows(scaled.astype("<f4").tobytes(), 1, parsed["usage"]["prompt_tokens"])


def to_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logistic function: rankers with one output are trained by it, and keep it out of the graph."""
    scaled: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return scaled


def gives_probabilities(header: GgufHeader) -> bool:
    """Whether a reranker's score is a probability already; raises `LoadFailed` where its classes make no score."""
    classes = max(1, len(header.classifier_labels))
    softmax = header.architecture in SOFTMAX_ARCHITECTURES
    if softmax and classes != 2:
        raise LoadFailed(
            f"llama.cpp takes the softmax over the classes of {header.architecture}, and this file has {classes}, so "
            "its scores would say nothing; a reranker of this kind has the two classes yes and no"
        )
    if not softmax and classes > 1:
        raise LoadFailed(
            f"the file has {classes} classes ({', '.join(header.classifier_labels[:4])}), and a reranker has one "
            "score; it is a classifier, and no engine here serves one from GGUF"
        )
    return softmax
