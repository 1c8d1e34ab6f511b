"""MiniLM with its real weights, converted by us, against what sentence-transformers says of it."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tools
from numpy.typing import NDArray
from recorded_reply import RecordedReply

from berth_api.artifact import Task
from berth_runtime.engines.onnxruntime import create
from berth_runtime.engines.protocol import EmbeddingRequest, Engine, EngineSettings, LoadFailed
from berth_store.convert.encoder import convert_encoder
from berth_store.convert.served import build_served_graph
from berth_store.detect import Pooling, detect_bounded
from berth_store.headers.safetensors import read_safetensors

pytestmark = pytest.mark.needs("minilm")

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parents[2] / "reference/minilm.json").read_text())
CASES: list[dict[str, Any]] = REFERENCE["cases"]
LONGEST = max(CASES, key=lambda case: int(case["tokens"]))
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def source() -> Path:
    weights = tools.find("minilm")
    assert weights is not None
    return weights.parent


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_encoder(source, tmp_path_factory.mktemp("minilm")).parent


def engine_for(folder: Path, **args: str) -> Engine:
    settings = EngineSettings(
        model=detect_bounded(folder), name="minilm", task=Task.EMBEDDING, threads=2, memory_bytes=1 << 30, args=args
    )
    engine = create(settings)
    engine.load()
    engine.prove()
    return engine


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return engine_for(folder)


@pytest.fixture(scope="module")
def truncating(folder: Path) -> Engine:
    return engine_for(folder, truncate="true")


@pytest.fixture(scope="module")
def pooling_in_numpy(folder: Path) -> Engine:
    return engine_for(folder, truncate="true", pooling="mean", output="last_hidden_state")


def expected(case: dict[str, Any]) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(case["vector"]), dtype="<f4")


def ask(engine: Engine, *inputs: str) -> RecordedReply:
    reply = RecordedReply()
    engine.submit(EmbeddingRequest(inputs), reply)
    return reply


def test_the_reference_is_of_these_weights(source: Path) -> None:
    digest = hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
    assert digest == REFERENCE["model_safetensors_sha256"]


def test_the_converted_model_is_detected_with_the_limits_of_its_folder(folder: Path) -> None:
    found = detect_bounded(folder)
    assert found.task is Task.EMBEDDING
    assert found.embedding is not None
    assert found.embedding.pooling is Pooling.IN_GRAPH
    assert (found.embedding.max_sequence_length, found.embedding.dimensions) == (REFERENCE["max_tokens"], 384)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_a_vector_is_the_one_of_sentence_transformers(truncating: Engine, case: dict[str, Any]) -> None:
    reply = ask(truncating, case["text"])
    assert np.abs(reply.matrix()[0] - expected(case)).max() < TOLERANCE
    assert reply.result is not None
    assert reply.result.prompt_tokens == min(case["tokens"], REFERENCE["max_tokens"])


def test_pooling_in_numpy_gives_the_same_vectors(pooling_in_numpy: Engine) -> None:
    rows = ask(pooling_in_numpy, *(case["text"] for case in CASES)).matrix()
    assert np.abs(rows - [expected(case) for case in CASES]).max() < TOLERANCE


def test_batch_mates_change_nothing(truncating: Engine) -> None:
    texts = [case["text"] for case in CASES]
    together = ask(truncating, *texts, *reversed(texts)).matrix()
    wanted = np.array([expected(case) for case in CASES])
    assert np.abs(together - np.concatenate([wanted, wanted[::-1]])).max() < TOLERANCE


def test_requests_at_once_each_get_their_own_vectors(truncating: Engine) -> None:
    replies = [(case, ask(truncating, case["text"])) for case in CASES * 4]
    assert all(np.abs(reply.matrix()[0] - expected(case)).max() < TOLERANCE for case, reply in replies)


def test_a_text_that_is_too_long_is_refused_with_its_index(engine: Engine) -> None:
    failure = ask(engine, "short", LONGEST["text"]).refused()
    assert (failure.status, failure.code, failure.param) == (400, "context_length_exceeded", "input")
    assert failure.message.startswith(f"input[1] has {LONGEST['tokens']} tokens, but this model takes 256 at most")


def test_the_longest_text_that_fits_is_answered(engine: Engine) -> None:
    case = next(case for case in CASES if case["tokens"] == REFERENCE["max_tokens"])
    assert np.abs(ask(engine, case["text"]).matrix()[0] - expected(case)).max() < TOLERANCE


def test_a_client_that_leaves_gives_its_place_back_before_its_work_is_done(engine: Engine) -> None:
    left = ask(engine, *[LONGEST["text"][:1000]] * 500)
    left.gone = True
    assert ask(engine, "still there").matrix().shape == (1, 384)
    assert left.wait().result is None
    assert left.usage is not None


def test_in_int8_the_vectors_point_where_they_did_from_fewer_bytes(source: Path) -> None:
    exact, quick = engine_for(source, truncate="true"), engine_for(source, truncate="true", quantize="int8")
    texts = [case["text"] for case in CASES]
    wanted, found = ask(exact, *texts).matrix(), ask(quick, *texts).matrix()
    cosines = (wanted * found).sum(axis=1)
    assert cosines.min() >= 0.97
    assert cosines.max() < 0.99999, "something was rounded"
    model = detect_bounded(source)
    graph = build_served_graph(model, Task.EMBEDDING, pooling=Pooling.MEAN, normalize=True, int8=True)
    tensors = [tensor for path in model.weights for tensor in read_safetensors(path).tensors]
    matrices = sum(
        tensor.end - tensor.start for tensor in tensors if ".layer." in tensor.name and len(tensor.shape) == 2
    )
    assert len(graph.content) < 0.27 * matrices


def test_int8_is_for_graphs_that_are_made_here(folder: Path, source: Path) -> None:
    with pytest.raises(LoadFailed, match=r"quantize=int8 is for safetensors, .* and this model is ONNX"):
        engine_for(folder, quantize="int8")
    with pytest.raises(LoadFailed, match="quantize=int8 is for the CPU"):
        engine_for(source, quantize="int8", provider="cuda")
    with pytest.raises(LoadFailed, match="quantize=int4 is not known; it may be int8"):
        engine_for(source, quantize="int4")
