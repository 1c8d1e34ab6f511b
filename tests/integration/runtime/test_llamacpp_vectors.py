"""MiniLM as GGUF on llama.cpp: its vectors beside those of sentence-transformers, its scores beside our own sums."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import onnxruntime
import pytest
import pytest_asyncio
import tools
from numpy.typing import NDArray
from real_gguf import RankingHead, a_head, write_minilm, write_reranker
from runtime_server import start_runtime
from served_engine import ask, serve_engine
from tiny_qwen3 import write_tiny_qwen3
from tokenizers import Tokenizer

from berth_runtime.engines.protocol import EmbeddingRequest, Failure, Operation, RerankRequest, Rows
from berth_runtime.served import ServedModel
from berth_runtime.supervision import State
from berth_store.convert.encoder import convert_encoder

pytestmark = [pytest.mark.needs("minilm"), pytest.mark.asyncio(loop_scope="module")]

# llama.cpp looks GELU up in a table of 16 bits; on these texts the largest difference was 5.0e-4, at 256 tokens.
BOUND, LEAST_COSINE = 1e-3, 0.9999
# BERT gives up on a word of more than 100 letters, and llama.cpp cuts it into pieces like any other.
CUT_OTHERWISE = "unknown word"
REFERENCE = json.loads((Path(__file__).parents[2] / "reference/minilm.json").read_text())["cases"]
CASES: list[dict[str, Any]] = [
    case for case in REFERENCE if case["text"] and case["tokens"] <= 256 and case["name"] != CUT_OTHERWISE
]
QUERY = "Where do ships arrive?"
DOCUMENTS = ("A port is where ships come in.", "Bananas are yellow.", "The harbour master counts ships.")


def source() -> Path:
    weights = tools.find("minilm")
    assert weights is not None
    return weights.parent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def encoder(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedModel]:
    path = write_minilm(tmp_path_factory.mktemp("gguf") / "minilm.gguf", source())
    async with serve_engine("--model", f"minilm={path}") as model:
        yield model


@pytest.fixture(scope="module")
def head() -> RankingHead:
    return a_head(384)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reranker(tmp_path_factory: pytest.TempPathFactory, head: RankingHead) -> AsyncIterator[ServedModel]:
    path = write_reranker(tmp_path_factory.mktemp("gguf") / "reranker.gguf", source(), head)
    async with serve_engine("--model", f"reranker={path}") as model:
        yield model


def matrix(outcome: object) -> NDArray[np.float32]:
    assert isinstance(outcome, Rows), outcome
    return np.frombuffer(outcome.values, "<f4").reshape(-1, outcome.columns)


async def test_an_encoder_embeds_without_being_told_anything(encoder: ServedModel) -> None:
    capabilities = encoder.require_running().capabilities
    assert set(capabilities.parameters) == {Operation.EMBEDDING}
    assert (capabilities.context_length, capabilities.dimensions) == (512, 384)


async def test_vectors_are_those_of_the_reference(encoder: ServedModel) -> None:
    _, outcome = await ask(encoder, EmbeddingRequest(tuple(case["text"] for case in CASES)))
    vectors = matrix(outcome)
    wanted = np.array([np.frombuffer(base64.b64decode(case["vector"]), "<f4") for case in CASES])
    assert np.abs(vectors - wanted).max() < BOUND
    assert (vectors * wanted).sum(axis=1).min() > LEAST_COSINE
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(CASES)), abs=1e-5)
    assert isinstance(outcome, Rows)
    assert outcome.prompt_tokens == sum(case["tokens"] for case in CASES)


async def test_token_ids_give_the_vector_of_their_text(encoder: ServedModel) -> None:
    tokens = tuple(Tokenizer.from_file(str(source() / "tokenizer.json")).encode("Berth serves models.").ids)
    tokens = tuple(token for token in tokens if token)  # its padding
    _, by_text = await ask(encoder, EmbeddingRequest(("Berth serves models.",)))
    _, by_tokens = await ask(encoder, EmbeddingRequest((tokens, (101, 102))))
    assert np.abs(matrix(by_text)[0] - matrix(by_tokens)[0]).max() < 1e-5


async def test_another_pooling_gives_other_vectors(encoder: ServedModel, tmp_path: Path) -> None:
    path = write_minilm(tmp_path / "open.gguf", source(), bert__pooling_type=0)
    async with serve_engine("--model", f"m={path}", "--engine-arg", "pooling=cls") as model:
        _, by_first = await ask(model, EmbeddingRequest(("a harbour",)))
    _, by_mean = await ask(encoder, EmbeddingRequest(("a harbour",)))
    cosine = float((matrix(by_first) * matrix(by_mean)).sum())
    assert cosine < 0.99


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        (("short", "ship " * 600), "context_length_exceeded", "512 tokens, and the prompt has 602"),
        (((101, 102), (101, 30_522)), "invalid_value", "token id 30522, and this model's vocabulary ends with 30521"),
    ],
)
async def test_an_input_that_can_not_be_embedded_is_named(
    encoder: ServedModel, inputs: Any, code: str, words: str
) -> None:
    _, failure = await ask(encoder, EmbeddingRequest(inputs))
    assert isinstance(failure, Failure)
    assert (failure.status, failure.code, failure.param) == (400, code, "input[1]")
    assert words in failure.message


async def test_documents_are_scored_by_the_files_own_head(
    reranker: ServedModel, head: RankingHead, tmp_path: Path
) -> None:
    _, outcome = await ask(reranker, RerankRequest(QUERY, DOCUMENTS))
    wanted = [1 / (1 + np.exp(-head.logit(hidden))) for hidden in first_tokens(tmp_path)]
    assert matrix(outcome).ravel() == pytest.approx(wanted, rel=0.05)
    assert len(set(wanted)) == len(DOCUMENTS)


async def test_the_best_document_comes_first_over_http(
    tmp_path_factory: pytest.TempPathFactory, head: RankingHead, reranker: ServedModel
) -> None:
    _, outcome = await ask(reranker, RerankRequest(QUERY, DOCUMENTS))
    best_first = np.argsort(-matrix(outcome).ravel()).tolist()
    path = write_reranker(tmp_path_factory.mktemp("gguf") / "reranker.gguf", source(), head)
    async with start_runtime("--model", f"r={path}") as runtime, aiohttp.ClientSession() as session:
        await runtime.wait_for_states({"r": "Ready"})
        body = {"model": "r", "query": QUERY, "documents": list(DOCUMENTS)}
        async with session.post(f"{runtime.base_url}/v1/rerank", json=body) as answer:
            results = (await answer.json())["results"]
    assert [result["index"] for result in results] == best_first
    assert all(0 < result["relevance_score"] < 1 for result in results)


async def test_a_ranker_that_says_yes_or_no_gives_the_probability_of_yes(tmp_path: Path) -> None:
    """What is yes for one is no for the other, whose head is turned: of any two logits that would not be true."""
    scores = []
    for turned in (False, True):
        path = write_tiny_qwen3(tmp_path / f"turned-{turned}.gguf", turned=turned)
        async with serve_engine("--model", f"ranker={path}") as model:
            _, outcome = await ask(model, RerankRequest("ab", ("a", "bb", "c")))
            scores.append(matrix(outcome).ravel())
    assert scores[0] + scores[1] == pytest.approx(np.ones(3), abs=1e-4)
    assert len(set(scores[0].tolist())) == 3


async def test_a_ranker_whose_scores_would_say_nothing_is_refused(tmp_path: Path) -> None:
    path = write_tiny_qwen3(tmp_path / "one.gguf", labels=("yes",))
    async with serve_engine("--model", f"ranker={path}") as model:
        assert model.life.state is State.FAILED
        assert "a reranker of this kind has the two classes yes and no" in model.life.message


async def test_only_reranking_is_served_by_a_reranker(reranker: ServedModel) -> None:
    assert set(reranker.require_running().capabilities.parameters) == {Operation.RERANK}


async def test_the_document_that_is_too_long_is_named(reranker: ServedModel) -> None:
    _, failure = await ask(reranker, RerankRequest(QUERY, ("short", "ship " * 600)))
    assert isinstance(failure, Failure)
    assert (failure.status, failure.code, failure.param) == (400, "context_length_exceeded", "documents[1]")


async def test_more_documents_than_places_are_all_scored(reranker: ServedModel) -> None:
    _, outcome = await ask(reranker, RerankRequest(QUERY, DOCUMENTS * 50))
    scores = matrix(outcome).ravel()
    assert scores == pytest.approx(np.tile(scores[:3], 50), abs=1e-3)


def first_tokens(folder: Path) -> list[NDArray[np.float32]]:
    """The first token's vector of query and document as llama.cpp joins them: without the mark that BERT ends with."""
    graph = convert_encoder(source(), folder / "onnx")
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(source() / "tokenizer.json"))
    tokenizer.no_padding()
    found = []
    for document in DOCUMENTS:
        ids = tokenizer.encode(QUERY).ids + tokenizer.encode(document, add_special_tokens=False).ids
        tokens = np.array([ids], dtype=np.int64)
        feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
        names = {value.name for value in session.get_inputs()}
        hidden = session.run(["last_hidden_state"], {name: feeds[name] for name in names})[0]
        found.append(np.asarray(hidden, dtype=np.float32)[0, 0])
    return found
