"""An LLM that two pods compute together answers by vLLM on the CPU, and lives and ends as one. Leaves nothing.

A part of `make nightly` alone, after `test_vllm`. The node says that it has GPUs of a kind that no other has; the pods
get them, and compute on its processor.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from vllm_weights import reference_answers, write_weights

from berth_kube.resources import PODS
from e2e.cluster.addresses import NODE_NAME
from e2e.cluster.node import Node
from e2e.support.client_pod import ClientPod
from e2e.support.fake_nodes import NOWHERE, build_profiles
from e2e.support.manifests import a_model, a_namespace, apply
from e2e.support.measurements import record
from e2e.support.objects import MODELS, Json, Objects, condition_of, containers_of, is_true, name_of, uid_of
from e2e.support.programs import kubectl
from e2e.support.release import Release
from e2e.support.starts import Starts
from e2e.support.until import until
from e2e.support.vllm_pods import push_weights, stream_until_the_end

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

NAMESPACE, NAME = "vllm-group", "divided"
QUESTION, TOKENS = "What is the capital of France?", 16
LONG, DRAIN_TIMEOUT = 300, "10m"
START_SECONDS = 1200
HEAD = f"berth.dev/model={NAME},app.kubernetes.io/component=engine"
MEMBER = f"berth.dev/model={NAME},app.kubernetes.io/component=member"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / NAME)


@pytest.fixture(scope="module", autouse=True)
def gpus(node: Node) -> Iterator[None]:
    """The real node as one of the profile that no other node is of."""
    labels = build_profiles()[NOWHERE]["nodeSelector"]
    kubectl("label", "node", NODE_NAME, *(f"{label}={value}" for label, value in labels.items()))
    node.set_gpus(2)
    yield
    node.set_gpus(0)
    kubectl("label", "node", NODE_NAME, *(f"{label}-" for label in labels))


@pytest.fixture(scope="module", autouse=True)
def served(
    release: Release, gpus: None, node: Node, objects: Objects, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Starts]:
    """Packaged, pushed, applied as a user would, and Ready."""
    uri = push_weights(weights, node, tmp_path_factory.mktemp("berth"))
    apply(a_namespace(NAMESPACE))
    # No `enforce-eager`: with it, a vLLM of several stages fails on processors.
    args = ["dtype=float32", f"kv-cache-memory-bytes={256 << 20}"]
    model = a_model(
        NAME,
        NAMESPACE,
        source={"uri": uri},
        engine={"type": "VLLM", "image": node.images["vllm"], "args": args},
        accelerator={"profiles": [NOWHERE], "nodes": 2},
        contextLength=1024,
        parallelSequences=4,
        rollout={"drainTimeout": DRAIN_TIMEOUT},
        resources={"requests": {"cpu": "100m"}},
        pod={"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},  # both pods compute on the cores of one machine
    )
    starts = Starts(objects, NAMESPACE)
    apply(model)
    starts.wait(NAME, seconds=START_SECONDS)
    yield starts
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def the_pod(objects: Objects, labels: str) -> Json:
    """The one that is not being taken away."""
    (found,) = [pod for pod in objects.items(PODS, NAMESPACE, labels) if "deletionTimestamp" not in pod["metadata"]]
    return found


def answers(client: ClientPod) -> str:
    text: str = client.ask(f"""
messages = [{{"role": "user", "content": {QUESTION!r}}}]
answer = client.chat.completions.create(model={NAME!r}, messages=messages, max_tokens={TOKENS}, temperature=0)
say(answer.choices[0].message.content)
""")
    return text


def is_ready_anew(objects: Objects, restarts: int) -> bool:
    """Whether the head has started once more and answers."""
    head = the_pod(objects, HEAD)
    return is_true(head, "Ready") and engine_restarts(head) > restarts


def engine_restarts(pod: Json) -> int:
    return sum(container["restartCount"] for container in containers_of(pod) if container["name"] == "engine")


def test_two_pods_answer_as_the_reference_does(
    client: ClientPod, objects: Objects, weights: Path, served: Starts
) -> None:
    (known,) = reference_answers(weights, [{"chat": QUESTION, "tokens": TOKENS}])
    assert "Paris" in known
    assert answers(client) == known
    assert uid_of(the_pod(objects, HEAD)) != uid_of(the_pod(objects, MEMBER))
    status = objects.read(MODELS, NAMESPACE, NAME)["status"]
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    fits = condition_of({"status": status}, "Fits")
    assert fits is not None
    assert "for each of 2 pods" in fits["message"]
    record(vllm_group_ready_seconds=served.seconds)


def test_a_member_that_is_lost_costs_a_start_and_no_more(client: ClientPod, objects: Objects) -> None:
    before = engine_restarts(the_pod(objects, HEAD))
    objects.delete(PODS, NAMESPACE, name_of(the_pod(objects, MEMBER)), grace_seconds=0)
    until(lambda: is_ready_anew(objects, before), seconds=START_SECONDS, what="the group has started anew")
    assert "Paris" in answers(client)


def test_a_member_that_must_leave_lets_a_stream_end(client: ClientPod, objects: Objects) -> None:
    head = the_pod(objects, HEAD)
    with stream_until_the_end(client, NAME, head, tokens=LONG):
        objects.delete(PODS, NAMESPACE, name_of(the_pod(objects, MEMBER)))
    until(
        lambda: is_ready_anew(objects, engine_restarts(head)), seconds=START_SECONDS, what="the group has started anew"
    )
    assert "Paris" in answers(client)
