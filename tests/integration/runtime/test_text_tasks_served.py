"""A cross-encoder, a classifier and a finder of entities behind the real command: what clients see of them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from openai_requests import send
from runtime_server import start_runtime
from tiny_classifiers import DOCUMENTS, QUERY, SENTIMENTS, TEXTS, write_tiny_classifier

from berth_store.convert.encoder import convert_encoder

pytestmark = pytest.mark.asyncio(loop_scope="module")

CASES: dict[str, Any] = json.loads((Path(__file__).parents[2] / "reference/tiny_classifiers.json").read_text())["cases"]
TOLERANCE = 1e-5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("served")
    ranker, moods = (write_tiny_classifier(folder / name, name) for name in ("bert-rerank", "roberta-sentiment"))
    names = convert_encoder(write_tiny_classifier(folder / "source", "distilbert-entities"), folder / "onnx").parent
    models = [f"--model=ranker={ranker}", f"--model=moods={moods}", f"--model=names={names}"]
    async with start_runtime(*models) as runtime:
        await runtime.wait_for_states({"ranker": "Ready", "moods": "Ready", "names": "Ready"})
        yield runtime.base_url


async def ask(base_url: str, path: str, model: str, **body: Any) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session:
        reply = await send(session, base_url + path, {"model": model, **body})
    return reply.status, reply.json if reply.status == 200 else reply.error


async def test_documents_come_with_the_scores_of_the_reference_best_first(base_url: str) -> None:
    # An empty document is refused before it reaches an engine.
    scored = zip(DOCUMENTS, CASES["bert-rerank"]["scores"], strict=True)
    documents = {document: score for document, score in scored if document}
    status, answer = await ask(base_url, "/v1/rerank", "ranker", query=QUERY, documents=list(documents))
    assert status == 200
    found = {list(documents)[each["index"]]: each["relevance_score"] for each in answer["results"]}
    assert list(found) == sorted(documents, key=lambda document: -documents[document])
    np.testing.assert_allclose([found[document] for document in documents], list(documents.values()), atol=TOLERANCE)


async def test_texts_come_with_the_probabilities_of_the_reference(base_url: str) -> None:
    status, answer = await ask(base_url, "/v1/classify", "moods", input=list(TEXTS))
    assert status == 200
    assert answer["labels"] == list(SENTIMENTS)
    expected = np.array(CASES["roberta-sentiment"]["probabilities"])
    np.testing.assert_allclose([each["probs"] for each in answer["data"]], expected, atol=TOLERANCE)
    assert [each["label"] for each in answer["data"]] == [SENTIMENTS[best] for best in expected.argmax(axis=1)]


async def test_entities_come_with_their_places(base_url: str) -> None:
    status, answer = await ask(base_url, "/v1/classify", "names", input=list(TEXTS))
    assert status == 200
    expected = CASES["distilbert-entities"]["first"]
    for text, each, wanted in zip(TEXTS, answer["data"], expected, strict=True):
        places = [(entity["label"], text[entity["start"] : entity["end"]]) for entity in wanted]
        assert [(entity["label"], entity["text"]) for entity in each["entities"]] == places


async def test_a_text_that_is_too_long_is_named(base_url: str) -> None:
    status, error = await ask(base_url, "/v1/classify", "moods", input=["w7", "w8 " * 20])
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "input")
    assert error["message"].startswith("input[1] has 22 tokens, but this model takes 16 at most")
