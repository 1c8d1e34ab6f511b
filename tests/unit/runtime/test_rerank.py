"""What a rerank request is about, and the answer of a rerank in the form that Cohere, Jina and vLLM share."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrices import rows

from berth_runtime.engines.protocol import Rows
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.rerank import MAX_DOCUMENTS, read_documents, read_query, render_rerank


def render(result: Rows, *documents: str, top_n: int | None = None, return_documents: bool = False) -> Any:
    said = render_rerank(
        result, documents, answer_id="rerank-1", model="m", top_n=top_n, return_documents=return_documents
    )
    return json.loads(said)


def test_the_best_document_comes_first_and_keeps_its_index() -> None:
    assert render(rows([0.25], [0.75], [0.5]), "a", "b", "c") == {
        "id": "rerank-1",
        "model": "m",
        "results": [
            {"index": 1, "relevance_score": 0.75},
            {"index": 2, "relevance_score": 0.5},
            {"index": 0, "relevance_score": 0.25},
        ],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


def test_top_n_leaves_the_worse_ones_out_and_may_be_more_than_there_are() -> None:
    assert [each["index"] for each in render(rows([0.25], [0.75]), "a", "b", top_n=1)["results"]] == [1]
    assert len(render(rows([0.25], [0.75]), "a", "b", top_n=9)["results"]) == 2


def test_documents_come_back_only_if_asked_for() -> None:
    results = render(rows([0.25], [0.75]), "a", "b", return_documents=True)["results"]
    assert [each["document"] for each in results] == [{"text": "b"}, {"text": "a"}]


def test_a_score_is_written_as_short_as_a_float32_is() -> None:
    assert (
        '"relevance_score":0.1}'
        in render_rerank(rows([0.1]), ["a"], answer_id="", model="", top_n=None, return_documents=False).decode()
    )


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50))
def test_scores_never_rise_and_equal_ones_keep_the_order_of_the_documents(scores: list[float]) -> None:
    results = render(rows(*[[score] for score in scores]), *["x"] * len(scores))["results"]
    keys = [(-each["relevance_score"], each["index"]) for each in results]
    assert keys == sorted(keys)
    assert {each["index"] for each in results} == set(range(len(scores)))


@pytest.mark.parametrize(
    "result", [rows([0.5]), rows([0.5, 0.5]), rows([0.5], [float("nan")]), rows([0.5], [float("inf")])]
)
def test_scores_that_no_client_could_use_are_the_engines_fault(result: Rows) -> None:
    with pytest.raises(ApiError) as refused:
        render(result, "a", "b")
    assert (refused.value.failure.status, refused.value.failure.code) == (500, "engine_error")


def test_a_document_is_a_text_or_an_object_with_one() -> None:
    assert read_documents(["a", {"text": "b", "title": "ignored"}]) == ("a", "b")


@pytest.mark.parametrize(
    ("documents", "param"),
    [
        (None, "documents"),
        ("a", "documents"),
        ([], "documents"),
        ({"text": "a"}, "documents"),
        (["a", ""], "documents[1]"),
        (["a", 5], "documents[1]"),
        (["a", {}], "documents[1].text"),
        (["a", {"text": ""}], "documents[1].text"),
        ([["a"]], "documents[0]"),
        (["a"] * (MAX_DOCUMENTS + 1), "documents"),
    ],
)
def test_the_wrong_document_is_named(documents: object, param: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_documents(documents)
    assert (refused.value.failure.status, refused.value.failure.param) == (400, param)


@pytest.mark.parametrize("document", [{"image": "https://x/y.png"}, {"content": [{"type": "image_url"}]}])
def test_a_document_that_is_no_text_is_refused_as_such(document: object) -> None:
    with pytest.raises(ApiError) as refused:
        read_documents([document])
    assert (refused.value.failure.code, refused.value.failure.param) == ("unsupported_content", "documents[0]")


@pytest.mark.parametrize("query", [None, "", 5, ["a"], {"text": "a"}])
def test_a_query_is_a_text(query: object) -> None:
    with pytest.raises(ApiError) as refused:
        read_query(query)
    assert refused.value.failure.param == "query"
