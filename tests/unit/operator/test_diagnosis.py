"""A table of pods in trouble, and what is said of each."""

from typing import Any

import pytest
from operator_builders import NOW, Json, a_pod, a_ready_pod, a_refusal, ended, running, waiting

from berth_operator.diagnosis import diagnose
from berth_operator.facts import PodProgress
from berth_operator.findings import Circumstances, Finding
from berth_operator.pod_rules import refused_pods
from berth_operator.trim import keep_pod

PULL = 'Back-off pulling image "berth/cpu:1": ErrImagePull: manifest unknown'
GPU_WORDS = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
IMAGE = "registry.example.com/ai/qwen@sha256:ab"
NO_IMAGE = f'failed to pull "{IMAGE}": failed to unpack image: mismatched image rootfs and manifest layers'


def a_runtime(state: str, message: str = "") -> PodProgress:
    return PodProgress(runtime={"models": [{"name": "qwen", "state": state, "message": message}]})


def evicted(message: str) -> Json:
    return {"phase": "Failed", "reason": "Evicted", "message": message}


def with_image(fetch: Json) -> Json:
    """A pod that mounts its weights as an image volume."""
    volumes = [{"name": "models", "emptyDir": {}}, {"name": "image", "image": {"reference": IMAGE}}]
    return dict(keep_pod(a_pod(fetch=fetch, volumes=volumes)))


def finding_of(pod: Json, circumstances: Circumstances | None = None) -> Finding:
    """What is wrong with a pod with which something is."""
    finding = diagnose([pod], circumstances or Circumstances())
    assert finding is not None
    return finding


TROUBLE: dict[str, tuple[Json, str, str]] = {
    "no node has the memory": (
        a_pod(scheduled="0/2 nodes are available: 2 Insufficient memory."),
        "Unschedulable",
        "the scheduler finds no node: 0/2 nodes are available: 2 Insufficient memory.",
    ),
    "no node has a free GPU": (a_pod(scheduled=GPU_WORDS), "InsufficientGPU", GPU_WORDS),
    "the loader's image is not there": (
        a_pod(fetch=waiting("ErrImagePull", "manifest unknown")),
        "ImagePullFailed",
        "the image berth/fetch:1 can't be pulled: manifest unknown",
    ),
    "the engine's image is not there": (
        a_pod(fetch=ended(), engine=waiting("ImagePullBackOff", PULL)),
        "ImagePullFailed",
        "the image berth/cpu:1 can't be pulled: manifest unknown",
    ),
    "the engine's image has no valid name": (
        a_pod(fetch=ended(), engine=waiting("InvalidImageName", "couldn't parse")),
        "ImagePullFailed",
        "couldn't parse",
    ),
    "the loader's image is not there beside a volume that is one": (
        with_image(waiting("ErrImagePull", "manifest unknown")),
        "ImagePullFailed",
        "the image berth/fetch:1 can't be pulled",
    ),
    "the image volume is refused by the registry": (
        with_image(waiting("ErrImagePull", f'"{IMAGE}": 401 Unauthorized')),
        "ImagePullFailed",
        f'the node can\'t pull {IMAGE}: "{IMAGE}": 401 Unauthorized; check spec.source and its secretRef',
    ),
    "a Secret is missing": (
        a_pod(fetch=ended(), engine=waiting("CreateContainerConfigError", 'secret "s" not found')),
        "ContainerNotCreated",
        'secret "s" not found',
    ),
    "the container runtime refuses": (
        a_pod(fetch=ended(), engine=waiting("RunContainerError", "exec: python: not found")),
        "ContainerNotCreated",
        "python: not found",
    ),
    "the files have another hash": (
        a_pod(fetch=ended(1, a_refusal("DigestMismatch", "the layer is damaged"))),
        "ChecksumMismatch",
        "the files could not be fetched: the layer is damaged",
    ),
    "nobody has signed it": (
        a_pod(fetch=ended(1, a_refusal("SignatureMissing", "it has no signature"))),
        "SignatureMissing",
        "the files could not be fetched: it has no signature",
    ),
    "somebody else has signed it": (
        a_pod(fetch=ended(1, a_refusal("SignatureInvalid", "it is signed by the key sha256:ab"))),
        "SignatureInvalid",
        "signed by the key sha256:ab",
    ),
    "the volume is full": (a_pod(fetch=ended(1, a_refusal("DiskFull", "no space"))), "DiskFull", "no space"),
    "the claim's quota is reached": (
        a_pod(fetch=ended(1, a_refusal("CacheQuotaExceeded", "the quota is 9"))),
        "CacheQuotaExceeded",
        "the quota is 9",
    ),
    "the source is gone meanwhile": (
        a_pod(fetch=ended(1, a_refusal("SourceNotFound", "no such tag"))),
        "SourceNotFound",
        "no such tag",
    ),
    "the registry does not answer": (
        a_pod(fetch=ended(1, a_refusal("SourceUnreachable", "refused"))),
        "SourceUnreachable",
        "refused",
    ),
    "the loader waits before it tries again": (
        a_pod(fetch={**waiting("CrashLoopBackOff", "back-off 10s")}, restarts=2),
        "",
        "",
    ),
    "the loader dies without a report": (
        a_pod(fetch=ended(2, "usage: loader")),
        "CrashLoop",
        "the files could not be fetched: usage: loader",
    ),
    "the loader dies without a word": (a_pod(fetch=ended(1)), "CrashLoop", "it ended with status 1"),
    "the loader is killed for its memory": (
        a_pod(fetch=ended(137, reason="OOMKilled")),
        "OutOfMemory",
        "loader.resources",
    ),
    "a report that is no JSON object": (a_pod(fetch=ended(1, "[" * 4000)), "CrashLoop", "could not be fetched"),
    "the pod used up its disk": (
        a_pod(status=evicted("Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.")),
        "DiskFull",
        "ephemeral local storage usage exceeds",
    ),
    "the volume's limit was passed": (
        a_pod(status=evicted('Usage of EmptyDir volume "models" exceeds the limit "1Gi".')),
        "DiskFull",
        "EmptyDir",
    ),
    "the node had no memory left": (
        a_pod(status=evicted("The node was low on resource: memory.")),
        "OutOfMemory",
        "low on resource: memory",
    ),
    "the kernel killed the engine": (
        a_pod(fetch=ended(), engine=ended(137, reason="OOMKilled")),
        "OutOfMemory",
        "raise spec.resources.limits.memory",
    ),
    "the kernel killed the engine and it waits": (
        a_pod(fetch=ended(), engine=waiting("CrashLoopBackOff"), before=ended(137, reason="OOMKilled"), restarts=3),
        "OutOfMemory",
        "more memory than its limit",
    ),
    "the kernel killed the engine and it tries again": (
        a_pod(fetch=ended(), engine=running(), before=ended(137, reason="OOMKilled"), restarts=1),
        "OutOfMemory",
        "more memory than its limit",
    ),
    "the engine keeps ending": (
        a_pod(
            fetch=ended(),
            engine=waiting("CrashLoopBackOff", "back-off 5m0s"),
            before=ended(1, "ValueError: no such thing"),
            restarts=4,
        ),
        "CrashLoop",
        "the engine ended with status 1: ValueError: no such thing",
    ),
    "the engine keeps ending in silence": (
        a_pod(fetch=ended(), engine=waiting("CrashLoopBackOff"), before=ended(2), restarts=4),
        "CrashLoop",
        "it said nothing",
    ),
    "the start takes too long": (
        a_pod(fetch=ended(), engine=running(), before=ended(137, seconds=181), restarts=1),
        "StartDeadlineExceeded",
        "did not answer within 180 s",
    ),
    "the start takes too long and ends in order": (
        a_pod(fetch=ended(), engine=running(), before=ended(0, seconds=200), restarts=1),
        "StartDeadlineExceeded",
        "spec.rollout.startDeadline",
    ),
    "the engine served for days and was then killed": (
        a_pod(fetch=ended(), engine=running(), before=ended(137, "lost its GPU", seconds=200_000), restarts=1),
        "CrashLoop",
        "the engine ended with status 137: lost its GPU",
    ),
    "the node went away": (
        a_pod(status={"phase": "Failed", "reason": "NodeLost", "message": "node is gone"}),
        "CrashLoop",
        "the pod ended: node is gone",
    ),
    "all is on its way": (a_pod(fetch=running()), "", ""),
    "the engine loads": (a_pod(fetch=ended(), engine=running()), "", ""),
    "the engine answers": (a_ready_pod(), "", ""),
    "what it suffered before it started is over": (
        a_pod(fetch=ended(), engine=running(), before=ended(1, "once"), restarts=1, started=True),
        "",
        "",
    ),
    "a pod of which nothing is known": ({"metadata": {"name": "new"}}, "", ""),
}


@pytest.mark.parametrize("what", TROUBLE)
def test_each_trouble_has_its_word_and_its_cause(what: str) -> None:
    pod, reason, words = TROUBLE[what]
    finding = diagnose([pod], Circumstances(gpu_resource="nvidia.com/gpu", start_seconds=180))
    assert (finding.reason if finding else "") == reason
    assert words in (finding.message if finding else "")


@pytest.mark.parametrize(
    ("said", "gpu", "reason"),
    [
        (a_runtime("Failed", "llama.cpp does not know the architecture 'x'"), "", "EngineRejected"),
        (a_runtime("Restarting", "The engine crashed (SIGSEGV)."), "", "CrashLoop"),
        (a_runtime("Failed", "There is not enough memory for the model and its context."), "", "OutOfMemory"),
        (a_runtime("Failed", "There is not enough memory for the model."), "nvidia.com/gpu", "OutOfGPUMemory"),
        (a_runtime("Failed", "killed (SIGKILL), most likely because memory ran out."), "", "OutOfMemory"),
        (a_runtime("Failed", "half a character: \ud800"), "", "EngineRejected"),
        (a_runtime("Loading"), "", ""),
        (a_runtime("Ready", "old words"), "", ""),
        (PodProgress(), "", ""),
        (PodProgress(runtime={"models": []}), "", ""),
        (PodProgress(runtime={"models": [7]}), "", ""),
        (PodProgress(runtime={"models": {"state": "Failed"}}), "", ""),
        (PodProgress(runtime={"models": [{"state": "Failed", "message": 7}]}), "", ""),
    ],
)
def test_the_runtime_says_itself_what_its_engine_lacks(said: PodProgress, gpu: str, reason: str) -> None:
    pod = a_pod(fetch=ended(), engine=running())
    finding = diagnose([pod], Circumstances(gpu_resource=gpu, progress={"qwen-1": said}))
    assert (finding.reason if finding else "") == reason
    assert finding is None or finding.message.encode()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("There is not enough memory on the GPU for the model and its context.", "OutOfGPUMemory"),
        ("vLLM does not take an argument: --x", "CrashLoop"),
    ],
)
def test_an_engine_that_takes_its_runtime_with_it_leaves_its_words(words: str, reason: str) -> None:
    pod = a_pod(fetch=ended(), engine=running(), before=ended(1, words), restarts=1, started=False)
    finding = finding_of(pod, Circumstances(gpu_resource="nvidia.com/gpu"))
    assert finding.reason == reason
    assert words in finding.message


def test_a_gpu_that_old_pods_still_hold_is_waited_for() -> None:
    waits = Circumstances(gpu_resource="nvidia.com/gpu", drains=True)
    assert finding_of(a_pod(scheduled=GPU_WORDS), waits).reason == "WaitingForGPU"


def test_the_oldest_pod_in_trouble_is_heard_whatever_the_order() -> None:
    old = a_pod("b", fetch=ended(1, a_refusal("DiskFull")), metadata={"creationTimestamp": "2026-01-01T00:00:00Z"})
    young = a_pod("a", scheduled="no node", metadata={"creationTimestamp": "2026-01-02T00:00:00Z"})
    for pods in ([old, young], [young, old]):
        finding = diagnose(pods, Circumstances())
        assert finding is not None
        assert finding.reason == "DiskFull"


@pytest.mark.parametrize(
    "state",
    [
        waiting("ErrImagePull", NO_IMAGE),
        waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {NO_IMAGE}'),
        waiting("CreateContainerError", "failed to mount image volume: ImageVolumeMountFailed: ref not found"),
    ],
)
def test_an_artifact_that_is_no_image_is_told_in_the_same_words_in_each_turn(state: Json) -> None:
    finding = finding_of(with_image(state))
    assert finding.reason == "NoModelInSource"
    assert finding.message.startswith(f"the node can't mount {IMAGE} as a volume: only container images")
    assert finding == finding_of(with_image(waiting("ErrImagePull", NO_IMAGE)))


def test_a_pull_that_is_tried_and_one_that_waits_say_the_same() -> None:
    """Otherwise each turn of the kubelet's back-off would write the status."""
    tries = a_pod(fetch=waiting("ErrImagePull", "manifest unknown"))
    waits = a_pod(fetch=waiting("ImagePullBackOff", PULL))
    assert finding_of(tries) == finding_of(waits)


def test_an_engine_that_was_told_to_end_and_runs_again_is_no_trouble() -> None:
    again: dict[str, Any] = {"engine": running(), "before": ended(0, "told to", at=NOW), "restarts": 2}
    assert diagnose([a_pod(fetch=ended(), **again)], Circumstances()) is None


@pytest.mark.parametrize("engine", [ended(1, "words"), waiting("CrashLoopBackOff", "back-off 20s"), running()])
def test_an_engine_that_keeps_ending_is_told_in_the_same_words_in_each_turn(engine: Json) -> None:
    known: dict[str, Any] = {"before": ended(1, "words", at=NOW), "restarts": 2}
    assert finding_of(a_pod(fetch=ended(), engine=engine, **known)).message == "the engine ended with status 1: words"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: q, requested: cpu=4', "QuotaExceeded"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "Forbidden"),
    ],
)
def test_pods_that_may_not_be_made_are_told_with_the_servers_words(words: str, reason: str) -> None:
    finding = refused_pods(words)
    assert finding.reason == reason
    assert words in finding.message
