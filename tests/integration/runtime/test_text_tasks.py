"""Rerank, classification and safetensors with MiniLM's real weights, in a real worker process, beside transformers."""

import asyncio
import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tools
from minilm_heads import DOCUMENTS, QUERY, TEXTS, write_minilm_head
from runtime_worker import Refused, running_worker
from tiny_classifiers import ENTITY_LABELS, SENTIMENTS, write_tiny_classifier

from berth_api.artifact import EngineType, Task
from berth_api.errors import InvalidSpec, UnsupportedModel
from berth_runtime.engines.protocol import (
    ClassificationRequest,
    EmbeddingRequest,
    Operation,
    RerankRequest,
    Usage,
)
from berth_store.convert.encoder import convert_encoder
from berth_store.local import Store
from berth_store.package import package
from berth_store.reference import Reference

REFERENCES = Path(__file__).parents[2] / "reference"
HEADS: dict[str, Any] = json.loads((REFERENCES / "minilm_heads.json").read_text())
TINY: dict[str, Any] = json.loads((REFERENCES / "tiny_classifiers.json").read_text())["cases"]
# Of probabilities and scores; hidden vectors of MiniLM differ by up to 3e-6 before they are multiplied with a head.
TOLERANCE = 1e-4

needs_minilm = pytest.mark.needs("minilm")
Write = Callable[[str], Path]


def minilm() -> Path:
    weights = tools.find("minilm")
    assert weights is not None
    return weights.parent


@pytest.fixture(params=["safetensors", "onnx"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    def folder_of(name: str) -> Path:
        folder = write_minilm_head(tmp_path / name, name, minilm())
        return folder if request.param == "safetensors" else convert_encoder(folder, tmp_path / "onnx").parent

    return folder_of


@needs_minilm
def test_the_reference_is_of_these_weights() -> None:
    digest = hashlib.sha256((minilm() / "model.safetensors").read_bytes()).hexdigest()
    assert digest == HEADS["model_safetensors_sha256"]


@needs_minilm
async def test_a_cross_encoder_scores_documents_as_transformers_does(write: Write) -> None:
    async with running_worker(write("rerank")) as worker:
        assert worker.capabilities.parameters.keys() == {Operation.RERANK}
        scores = await worker.matrix(RerankRequest(QUERY, DOCUMENTS))
        assert np.abs(scores[:, 0] - HEADS["cases"]["rerank"]).max() < TOLERANCE
        asked = [worker.matrix(RerankRequest(QUERY, (document,))) for document in DOCUMENTS * 8]
        alone = np.concatenate(await asyncio.gather(*asked))
        assert np.abs(alone[:, 0] - np.tile(HEADS["cases"]["rerank"], 8)).max() < TOLERANCE


@needs_minilm
async def test_a_classifier_gives_the_probabilities_of_transformers(write: Write) -> None:
    async with running_worker(write("sentiment")) as worker:
        assert worker.capabilities.labels == SENTIMENTS
        found = await worker.matrix(ClassificationRequest(TEXTS))
        assert np.abs(found - HEADS["cases"]["sentiment"]).max() < TOLERANCE


@needs_minilm
@pytest.mark.parametrize("aggregation", ["first", "simple"])
async def test_entities_stand_where_transformers_finds_them(write: Write, aggregation: str) -> None:
    async with running_worker(write("entities"), aggregation=aggregation) as worker:
        assert worker.capabilities.labels == ENTITY_LABELS
        chunks, outcome = await worker.ask(ClassificationRequest(TEXTS))
    assert isinstance(outcome, Usage)
    assert outcome.prompt_tokens > len(TEXTS)
    (answer,) = map(json.loads, chunks)
    for text, found, expected in zip(TEXTS, answer, HEADS["cases"]["entities"][aggregation], strict=True):
        assert [{**each, "score": None} for each in found] == [
            {**each, "score": None, "text": text[each["start"] : each["end"]]} for each in expected
        ]
        scores, wanted = (np.array([each["score"] for each in entities]) for entities in (found, expected))
        assert np.abs(scores - wanted).max() < TOLERANCE


@needs_minilm
async def test_an_encoder_is_served_from_its_safetensors_in_less_memory_than_from_its_onnx(tmp_path: Path) -> None:
    cases = json.loads((REFERENCES / "minilm.json").read_text())["cases"]
    request = EmbeddingRequest(tuple(case["text"] for case in cases))
    resident: dict[Path, int] = {}
    answers = []
    for folder in (minilm(), convert_encoder(minilm(), tmp_path / "onnx").parent):
        async with running_worker(folder, truncate="true") as worker:
            answers.append(await worker.matrix(request))
            resident[folder] = _resident_bytes(worker.process.pid)
    assert np.abs(answers[0] - answers[1]).max() < 1e-6
    from_safetensors, from_onnx = resident.values()
    assert from_safetensors < from_onnx


async def test_what_lies_in_the_store_is_served_through_its_links(tmp_path: Path) -> None:
    """A view's files are links into the blobs, and the engine follows none that leads out of the folder it is given."""
    for name, make in (("safetensors", _as_it_is), ("onnx", _with_external_data)):
        folder = make(write_tiny_classifier(tmp_path / name / "source", "bert-rerank"), tmp_path / name)
        store = Store(tmp_path / name / "store")
        digest = package(store, folder, Reference.parse("localhost/reranker:1"))
        view = store.view(digest)
        assert any(path.is_symlink() for path in view.iterdir())
        async with running_worker(view) as worker:
            scores = await worker.matrix(RerankRequest("w7 w8w31", ("w9",)))
            assert abs(scores[0, 0] - TINY["bert-rerank"]["scores"][0]) < TOLERANCE


async def test_weights_outside_the_folder_are_refused_before_any_engine(tmp_path: Path) -> None:
    folder = _with_external_data(write_tiny_classifier(tmp_path / "source", "bert-rerank"), tmp_path)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    (folder / "weights.bin").symlink_to("../weights.bin")
    with pytest.raises(UnsupportedModel, match=r"'weights\.bin', which is no file of the model's folder"):
        async with running_worker(folder):
            pass


async def test_a_folder_that_can_not_be_written_is_enough(tmp_path: Path) -> None:
    folder = write_tiny_classifier(tmp_path / "source", "bert-sentiment")
    os.chmod(folder, stat.S_IRUSR | stat.S_IXUSR)
    before = sorted(os.listdir(folder))
    async with running_worker(folder) as worker:
        assert (await worker.matrix(ClassificationRequest(("w7",)))).shape == (1, 3)
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("task", [Task.AUTO, Task.EMBEDDING])
async def test_a_language_model_in_safetensors_is_not_sent_to_the_engine_for_encoders(
    tmp_path: Path, task: Task
) -> None:
    folder = write_tiny_classifier(
        tmp_path, "bert-rerank", architectures=["Qwen3ForCausalLM"], model_type="qwen3", id2label={}
    )
    with pytest.raises(InvalidSpec, match=r"VLLM, which serves .* from Safetensors weights, wants a GPU"):
        async with running_worker(folder, task=task):
            pass


async def test_of_several_formats_the_wanted_engine_takes_what_it_loads(tmp_path: Path) -> None:
    folder = write_tiny_classifier(tmp_path, "bert-rerank")
    (folder / "other.gguf").write_bytes(b"GGUF" + bytes(64))
    async with running_worker(folder, engine=EngineType.ONNX_RUNTIME) as worker:
        assert worker.capabilities.parameters.keys() == {Operation.RERANK}


async def test_a_broken_model_is_a_sentence_and_not_a_crash(tmp_path: Path) -> None:
    folder = write_tiny_classifier(tmp_path, "bert-rerank", num_hidden_layers=3)
    with pytest.raises(Refused, match=r"lack the tensor encoder\.layer\.2\.attention\.self\.query\.weight"):
        async with running_worker(folder):
            pass


async def test_a_text_that_is_too_long_is_refused_and_the_next_one_answered(tmp_path: Path) -> None:
    async with running_worker(write_tiny_classifier(tmp_path, "bert-entities")) as worker:
        failure = await worker.refused(ClassificationRequest(("w7", "w8 " * 20)))
        assert (failure.code, failure.param) == ("context_length_exceeded", "input")
        chunks, _ = await worker.ask(ClassificationRequest(("w7",)))
        assert len(json.loads(chunks[0])) == 1


def _as_it_is(source: Path, _: Path) -> Path:
    return source


def _with_external_data(source: Path, scratch: Path) -> Path:
    graph = convert_encoder(source, scratch / "external")
    onnx.save(onnx.load(str(graph)), str(graph), save_as_external_data=True, size_threshold=100, location="weights.bin")
    assert (graph.parent / "weights.bin").stat().st_size > 1000
    return graph.parent


def _resident_bytes(pid: int) -> int:
    """Memory that only this process has: pages of files are the kernel's to drop."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))) * 1024
