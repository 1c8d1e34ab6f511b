"""Vectors and scores: llama.cpp's JSON made into rows, in pieces, and the blame where an input can't be."""

import json
import math
from typing import Any

import numpy as np
import pytest
from recorded_reply import RecordedReply

from berth_runtime.engines.llamacpp_vectors import (
    INPUTS_AT_ONCE,
    VectorAnswers,
    gives_probabilities,
    read_scores,
)
from berth_runtime.engines.protocol import EmbeddingRequest, Failure, LoadFailed, RerankRequest, Rows, Usage
from berth_store.headers.gguf import GgufHeader

LONGEST = 20


class Lengths:
    """A server whose vector of an input is its length, and whose logit of a document too; as strict as llama.cpp."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def handle_embeddings(self, body: bytes) -> bytes:
        inputs = json.loads(body)["input"]
        rows = [{"index": index, "embedding": [float(len(each)), 1.0]} for index, each in enumerate(inputs)]
        return self._answer(inputs, {"data": list(reversed(rows))})

    def handle_rerank(self, body: bytes) -> bytes:
        documents = json.loads(body)["documents"]
        rows = [{"index": index, "relevance_score": float(len(each))} for index, each in enumerate(documents)]
        return self._answer(documents, {"results": sorted(rows, key=lambda row: -row["relevance_score"])})

    def _answer(self, inputs: list[Any], found: dict[str, Any]) -> bytes:
        self.calls.append(len(inputs))
        longest = max(map(len, inputs))
        if longest > LONGEST:
            message = f"input ({longest} tokens) is too large to process. increase the physical batch size (current "
            message += f"batch size: {LONGEST})"
            return json.dumps({"error": {"code": 500, "type": "server_error", "message": message}}).encode()
        return json.dumps({**found, "usage": {"prompt_tokens": sum(map(len, inputs))}}).encode()


def answers(server: Lengths, **more: Any) -> VectorAnswers:
    return VectorAnswers(server, **{"name": "m", "vocabulary": 100, "probabilities": False, **more})


def test_vectors_stand_in_the_order_of_their_inputs() -> None:
    reply = RecordedReply()
    answers(Lengths()).embed(EmbeddingRequest(("a", "abc", "ab")), reply)
    assert reply.matrix().tolist() == [[1, 1], [3, 1], [2, 1]]
    assert reply.result is not None
    assert reply.result.prompt_tokens == 6


def test_many_inputs_are_worked_on_in_pieces_and_answered_as_one() -> None:
    server, reply = Lengths(), RecordedReply()
    inputs = tuple("x" * (1 + index % 7) for index in range(INPUTS_AT_ONCE * 2 + 1))
    answers(server).embed(EmbeddingRequest(inputs), reply)
    assert server.calls == [INPUTS_AT_ONCE, INPUTS_AT_ONCE, 1]
    assert reply.matrix()[:, 0].tolist() == [len(each) for each in inputs]


def test_who_leaves_meanwhile_ends_the_work_with_the_piece() -> None:
    server, reply = Lengths(), RecordedReply()

    def leave(body: bytes) -> bytes:
        reply.gone = True
        return Lengths.handle_rerank(server, body)

    server.handle_rerank = leave  # type: ignore[method-assign]
    answers(server).rerank(RerankRequest("q", ("a",) * (INPUTS_AT_ONCE * 5)), reply)
    assert server.calls == [INPUTS_AT_ONCE]
    assert reply.wait().usage == Usage(0)


def test_logits_become_scores_in_the_order_of_the_documents() -> None:
    reply = RecordedReply()
    answers(Lengths()).rerank(RerankRequest("q", ("a", "abc", "ab")), reply)
    assert reply.matrix().ravel().tolist() == pytest.approx([1 / (1 + math.exp(-x)) for x in (1, 3, 2)])


def test_probabilities_are_scores_already() -> None:
    answer = {"results": [{"index": 0, "relevance_score": 0.75}], "usage": {"prompt_tokens": 3}}
    rows = read_scores(json.dumps(answer).encode(), probabilities=True)
    assert isinstance(rows, Rows)
    assert np.frombuffer(rows.values, "<f4").tolist() == [0.75]


@pytest.mark.parametrize("logit", [-2000.0, 2000.0])
def test_a_logit_of_any_size_is_a_score(logit: float) -> None:
    answer = {"results": [{"index": 0, "relevance_score": logit}], "usage": {"prompt_tokens": 3}}
    rows = read_scores(json.dumps(answer).encode(), probabilities=False)
    assert isinstance(rows, Rows)
    assert np.frombuffer(rows.values, "<f4").tolist() == [float(logit > 0)]


def test_a_document_without_a_score_is_an_error_and_no_zero() -> None:
    answer = {"results": [{"index": 0, "relevance_score": -1e6}], "usage": {"prompt_tokens": 3}}
    failure = read_scores(json.dumps(answer).encode(), probabilities=False)
    assert isinstance(failure, Failure)
    assert failure.status == 500


@pytest.mark.parametrize("param", ["input", "documents"])
def test_the_input_that_is_too_long_is_named_with_both_numbers(param: str) -> None:
    inputs = ("x",) * INPUTS_AT_ONCE + ("y", "z" * 25)
    reply, named = RecordedReply(), f"{param}[{INPUTS_AT_ONCE + 1}]"
    if param == "input":
        answers(Lengths()).embed(EmbeddingRequest(inputs), reply)
    else:
        answers(Lengths()).rerank(RerankRequest("q", inputs), reply)
    failure = reply.refused()
    assert (failure.status, failure.code, failure.param) == (400, "context_length_exceeded", named)
    assert f"{named}: This model's maximum context length is 20 tokens, and the prompt has 25" in failure.message


def test_a_token_id_that_the_model_lacks_is_named() -> None:
    reply = RecordedReply()
    answers(Lengths()).embed(EmbeddingRequest(((1, 99), (5, 100))), reply)
    failure = reply.refused()
    assert (failure.status, failure.param) == (400, "input[1]")
    assert "token id 100, and this model's vocabulary ends with 99" in failure.message


def a_header(architecture: str, *labels: str) -> GgufHeader:
    metadata = {"general.architecture": architecture, f"{architecture}.classifier.output_labels": labels}
    return GgufHeader(version=3, alignment=32, metadata=metadata, tensors=(), data_offset=0, file_bytes=0)


def test_only_rankers_that_say_yes_or_no_give_probabilities() -> None:
    assert gives_probabilities(a_header("qwen3", "yes", "no"))
    assert not gives_probabilities(a_header("bert"))
    assert not gives_probabilities(a_header("jina-bert-v2", "LABEL_0"))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (a_header("qwen3"), "two classes yes and no"),
        (a_header("bert", "bad", "good", "better"), "3 classes (bad, good, better)"),
    ],
)
def test_a_head_whose_scores_would_say_nothing_is_refused(header: GgufHeader, why: str) -> None:
    with pytest.raises(LoadFailed) as refused:
        gives_probabilities(header)
    assert why in str(refused.value)
