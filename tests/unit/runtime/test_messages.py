"""Every value that crosses to a worker and back is the same on the other side."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.artifact import Artifact, Format, Task
from berth_runtime.engines.protocol import (
    Capabilities,
    ChatRequest,
    ClassificationRequest,
    CompletionRequest,
    EmbeddingRequest,
    EngineSettings,
    Failure,
    ImageRequest,
    Operation,
    Request,
    RerankRequest,
    Rows,
    Usage,
)
from berth_runtime.frames import Frame
from berth_runtime.messages import (
    Answered,
    Loaded,
    LoadOrder,
    LoadRefused,
    Outcome,
    WorkerNews,
    pack_load,
    pack_news,
    pack_outcome,
    pack_request,
    unpack_load,
    unpack_news,
    unpack_outcome,
    unpack_request,
)
from berth_store.detect import DetectedModel, EmbeddingSettings, Pooling

TEXTS = st.lists(st.text(min_size=1), min_size=1).map(tuple)
TOKENS = st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1).map(tuple), min_size=1).map(tuple)
REQUESTS = st.one_of(
    st.builds(ChatRequest, st.binary(), st.booleans()),
    st.builds(CompletionRequest, st.binary(), st.booleans()),
    st.builds(EmbeddingRequest, st.one_of(TEXTS, TOKENS)),
    st.builds(RerankRequest, st.text(min_size=1), TEXTS),
    st.builds(ClassificationRequest, TEXTS),
    st.builds(
        ImageRequest,
        st.sampled_from([Operation.IMAGE_CLASSIFICATION, Operation.OBJECT_DETECTION, Operation.TEXT_RECOGNITION]),
        st.lists(st.binary(), min_size=1).map(tuple),
        st.none() | st.floats(0, 1),
    ),
)
COUNTS = st.integers(0, 2**40)
OUTCOMES = st.one_of(
    st.builds(Usage, COUNTS, COUNTS),
    st.builds(Rows, st.binary(), COUNTS, COUNTS),
    st.builds(Failure, st.integers(400, 599), st.text(), st.text(), st.none() | st.text()),
)


@given(REQUESTS)
def test_requests(request: Request) -> None:
    kind, payload = pack_request(request)
    assert unpack_request(Frame(kind, 1, payload)) == request


@given(OUTCOMES)
def test_outcomes(outcome: Outcome) -> None:
    kind, payload = pack_outcome(outcome)
    assert unpack_outcome(Frame(kind, 1, payload)) == outcome


@pytest.mark.parametrize(
    "news",
    [
        Loaded(Capabilities(parameters={Operation.CHAT: frozenset({"n"})}, parallel_requests=4, context_length=512), 7),
        Answered(3),
        LoadRefused("no heart"),
    ],
)
def test_news(news: WorkerNews) -> None:
    kind, payload = pack_news(news)
    assert unpack_news(Frame(kind, 0, payload)) == news


def test_the_order_to_load() -> None:
    model = DetectedModel(
        artifact=Artifact(format=Format.ONNX, task=Task.EMBEDDING, parameters=22),
        root=Path("/models/x"),
        weights=(Path("/models/x/model.onnx"),),
        embedding=EmbeddingSettings(pooling=Pooling.MEAN, normalize=True),
    )
    settings = EngineSettings(
        model=model, name="x", task=Task.EMBEDDING, threads=2, memory_bytes=1 << 34, args={"threads": "1"}
    )
    order = LoadOrder("berth_runtime.engines.onnxruntime", settings)
    assert unpack_load(pack_load(order)) == order
