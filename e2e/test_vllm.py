"""An LLM in safetensors answers by vLLM on the CPU of a pod, its artifact from the cluster's registry. Leaves nothing.

A part of `make nightly` alone: the image has 5 GB, and vLLM takes two minutes to its first token.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vllm_weights import reference_answers, write_weights

from berth_api.memory import GIBIBYTE
from berth_api.names import model_labels
from berth_kube.resources import PODS
from e2e.cluster.node import Node
from e2e.support.client_pod import ClientPod
from e2e.support.manifests import a_model, a_namespace, apply
from e2e.support.measurements import record
from e2e.support.objects import MODELS, Json, Objects, containers_of
from e2e.support.programs import kubectl
from e2e.support.release import Release
from e2e.support.starts import Starts
from e2e.support.until import until
from e2e.support.vllm_pods import push_weights, stream_until_the_end

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

NAMESPACE, NAME = "vllm", "smollm2"
QUESTION, BEGINNING, TOKENS = "What is the capital of France?", "Once upon a time", 16
# vLLM works for some ten seconds on it, so that it goes on when the pod has been told to end; on a busy machine longer.
LONG, DRAIN_TIMEOUT = 500, "10m"
# As its arithmetic says: 0.5 GiB of weights, 2 GiB of KV cache, 3 GiB for the engine. Beyond it the kernel kills it.
LIMIT = "6Gi"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / NAME)


@pytest.fixture(scope="module")
def known(weights: Path) -> list[str]:
    """What the same weights say by transformers."""
    return reference_answers(weights, [{"chat": QUESTION, "tokens": TOKENS}, {"prompt": BEGINNING, "tokens": TOKENS}])


@pytest.fixture(scope="module", autouse=True)
def served(
    release: Release, node: Node, objects: Objects, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Starts]:
    """Packaged, pushed, applied as a user would, and Ready."""
    uri = push_weights(weights, node, tmp_path_factory.mktemp("berth"))
    apply(a_namespace(NAMESPACE))
    # float32 and no compiled graphs, so that the answers are those of the reference to the letter.
    engine = {"type": "VLLM", "args": ["dtype=float32", "enforce-eager"]}
    model = a_model(
        NAME,
        NAMESPACE,
        source={"uri": uri},
        engine=engine,
        contextLength=1024,
        parallelSequences=4,
        rollout={"drainTimeout": DRAIN_TIMEOUT},
        resources={"requests": {"cpu": "100m"}, "limits": {"memory": LIMIT}},
    )
    starts = Starts(objects, NAMESPACE)
    apply(model)
    starts.wait(NAME, seconds=1200)
    yield starts
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def the_model(objects: Objects) -> Json:
    return objects.read(MODELS, NAMESPACE, NAME)


def pods(objects: Objects) -> list[Json]:
    return objects.items(PODS, NAMESPACE, ",".join(f"{key}={value}" for key, value in model_labels(NAME).items()))


def test_its_status_says_what_it_is_and_what_it_takes(objects: Objects, served: Starts) -> None:
    status = the_model(objects)["status"]
    artifact, memory = status["artifact"], status["memory"]
    assert (artifact["engine"], artifact["format"], artifact["task"]) == ("VLLM", "Safetensors", "Chat")
    assert memory["kvCacheBytes"] == 2 * GIBIBYTE
    assert memory["perDeviceBytes"] == memory["weightsBytes"] + 2 * GIBIBYTE + memory["overheadBytes"]
    record(vllm_ready_seconds=served.seconds, vllm_stages_milliseconds=served.stages(NAME))


def test_a_chat_is_answered_as_the_reference_does(client: ClientPod, known: list[str]) -> None:
    text, model, tokens = client.ask(f"""
messages = [{{"role": "user", "content": {QUESTION!r}}}]
answer = client.chat.completions.create(
    model="{NAMESPACE}/{NAME}", messages=messages, max_tokens={TOKENS}, temperature=0
)
say([answer.choices[0].message.content, answer.model, answer.usage.completion_tokens])
""")
    assert "Paris" in known[0]
    assert text == known[0]
    assert model.endswith(NAME)
    assert 0 < tokens <= TOKENS


def test_a_text_is_completed_as_the_reference_does(client: ClientPod, known: list[str]) -> None:
    text = client.ask(f"""
answer = client.completions.create(model={NAME!r}, prompt={BEGINNING!r}, max_tokens={TOKENS}, temperature=0)
say(answer.choices[0].text)
""")
    assert text == known[1]


def test_a_stream_comes_in_pieces_that_are_the_same_answer(client: ClientPod, known: list[str]) -> None:
    pieces = client.ask(f"""
messages = [{{"role": "user", "content": {QUESTION!r}}}]
stream = client.chat.completions.create(
    model={NAME!r}, messages=messages, max_tokens={TOKENS}, temperature=0, stream=True
)
say([chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices])
""")
    assert len([piece for piece in pieces if piece]) > 2
    assert "".join(pieces) == known[0]


def test_it_kept_within_its_limit_and_never_restarted(objects: Objects) -> None:
    (pod,) = pods(objects)
    assert [container["restartCount"] for container in containers_of(pod)] == [0, 0]


def test_a_stream_that_runs_when_the_model_is_deleted_comes_to_its_end(client: ClientPod, objects: Objects) -> None:
    (pod,) = pods(objects)
    with stream_until_the_end(client, NAME, pod, tokens=LONG):
        kubectl("delete", f"model/{NAME}", "-n", NAMESPACE, "--wait=false")
        until(lambda: is_told_to_end(objects), seconds=30, what="its pod is told to end")
    until(lambda: not pods(objects), seconds=60, what="its pod is gone", seen=lambda: pods(objects))
    code = client.ask(f"""
try:
    client.completions.create(model={NAME!r}, prompt="x", max_tokens=1)
except openai.NotFoundError as error:
    say(error.code)
""")
    assert code == "model_not_found"


def is_told_to_end(objects: Objects) -> Any:
    return all("deletionTimestamp" in pod["metadata"] for pod in pods(objects))
