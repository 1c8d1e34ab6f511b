"""`kubectl scale` and what `kubectl get` shows. Leaves everything as it was."""

from concurrent.futures import Future

import pytest

from berth_kube.resources import PODS
from e2e.conftest import MODELS_NAMESPACE
from e2e.support.client_pod import ClientPod
from e2e.support.objects import MODELS, Json, Objects, condition_of, containers_of, is_true
from e2e.support.programs import kubectl
from e2e.support.starts import Starts
from e2e.support.until import until

COLUMNS = ("NAME", "READY", "REPLICAS", "ENGINE", "TASK", "SIZE", "STAGE", "AGE")


@pytest.fixture(autouse=True)
def serving(quickstart: Starts, formats: Future[None]) -> None:
    """The quick start, and beside it what begins for later."""


def scale(replicas: int) -> None:
    kubectl("scale", "model/minilm", f"--replicas={replicas}", "-n", MODELS_NAMESPACE)


def pods_of(objects: Objects, model: str) -> list[Json]:
    return objects.items(PODS, MODELS_NAMESPACE, f"berth.dev/model={model},app.kubernetes.io/component=engine")


def until_replicas(objects: Objects, wanted: int) -> None:
    def settled() -> bool:
        status = objects.read(MODELS, MODELS_NAMESPACE, "minilm")["status"]
        counts = (status.get("replicas", 0), status.get("readyReplicas", 0), len(pods_of(objects, "minilm")))
        return counts == (wanted,) * 3

    until(settled, seconds=90, what=f"minilm has {wanted} Ready pods", seen=lambda: pods_of(objects, "minilm"))


def test_kubectl_get_models_tells_the_truth(objects: Objects) -> None:
    head, *rows = kubectl("get", "models", "-n", MODELS_NAMESPACE).splitlines()
    assert tuple(head.split()) == COLUMNS
    starts = [head.index(column) for column in COLUMNS]
    shown: dict[str, dict[str, str]] = {}
    for line in rows:
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        shown[cells[0]] = dict(zip(COLUMNS, cells, strict=True))
    for name, engine, task in (("smollm2", "LlamaCpp", "Chat"), ("minilm", "OnnxRuntime", "Embedding")):
        row = shown[name]
        size = objects.read(MODELS, MODELS_NAMESPACE, name)["status"]["artifact"]["sizeBytes"]
        assert size > 10_000_000
        assert (row["READY"], row["REPLICAS"], row["ENGINE"], row["TASK"]) == ("True", "1", engine, task)
        assert (row["SIZE"], row["STAGE"]) == (str(size), "")


def test_scaling_up_and_down_changes_the_pods_and_nothing_else(objects: Objects) -> None:
    (before,) = pods_of(objects, "minilm")
    scale(2)
    until_replicas(objects, 2)
    assert before["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in pods_of(objects, "minilm")}
    scale(1)
    until_replicas(objects, 1)
    assert all(each["restartCount"] == 0 for pod in pods_of(objects, "minilm") for each in containers_of(pod))


def test_a_model_scaled_to_nothing_says_that_it_is_suspended(objects: Objects, client: ClientPod) -> None:
    scale(0)
    until_replicas(objects, 0)
    until(
        lambda: (
            (condition_of(objects.read(MODELS, MODELS_NAMESPACE, "minilm"), "Available") or {})["reason"] == "Suspended"
        ),
        seconds=10,
        what="Available is False for it is Suspended",
    )
    answer = until(lambda: suspended_answer(client), seconds=15, what="the gateway answers for the suspended model")
    assert answer == [503, "model_suspended"]


def suspended_answer(client: ClientPod) -> list[object] | None:
    answer = client.ask("""
try:
    client.embeddings.create(model="minilm", input="x")
    say(None)
except openai.APIStatusError as error:
    say([error.status_code, error.code])
""")
    return answer if answer is None or answer[1] == "model_suspended" else None


def test_a_model_scaled_up_again_answers_again(objects: Objects, client: ClientPod) -> None:
    scale(1)
    until_replicas(objects, 1)
    until(lambda: is_true(objects.read(MODELS, MODELS_NAMESPACE, "minilm"), "Ready"), seconds=10, what="it is Ready")
    said = until(
        lambda: client.try_script('client.embeddings.create(model="minilm", input="x"); say(1)').out.strip() or None,
        seconds=15,
        what="the gateway routes to it",
    )
    assert said == "1"
