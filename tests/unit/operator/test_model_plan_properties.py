"""What holds of every Model: a plan without an error, pods that pass Pod Security, and rest once it is carried out."""

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from operator_builders import (
    DIGEST,
    Json,
    World,
    a_node,
    a_pod,
    a_refusal,
    a_report,
    a_world,
    an_adapter,
    an_adapter_report,
    ended,
    running,
    waiting,
)

from berth_api.conditions import Condition
from berth_api.model_status import ModelStatus
from berth_operator.facts import PodProgress

SMALL_NAMES = st.sampled_from(["a", "b", "team-a", "x1"])
QUANTITIES = st.sampled_from(["1", "500m", "4Gi", "0", "1e3"])
DURATIONS = st.sampled_from(["0s", "1s", "90s", "30m", "99999h"])
RESOURCES = st.dictionaries(st.sampled_from(["cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"]), QUANTITIES)


def some_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=fields)


PODS = some_of(
    labels=st.dictionaries(SMALL_NAMES, SMALL_NAMES, max_size=2),
    annotations=st.dictionaries(SMALL_NAMES, st.text("ab$( )", max_size=8), max_size=2),
    nodeSelector=st.dictionaries(SMALL_NAMES, SMALL_NAMES, max_size=2),
    tolerations=st.lists(some_of(key=SMALL_NAMES, operator=st.sampled_from(["Exists", "Equal"])), max_size=2),
    affinity=st.sampled_from(
        [
            {},
            {"nodeAffinity": {}},
            {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}},
        ]
    ),
    topologySpreadConstraints=st.sampled_from(
        [[], [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]]
    ),
    priorityClassName=SMALL_NAMES,
    runtimeClassName=SMALL_NAMES,
    serviceAccountName=SMALL_NAMES,
    env=st.sampled_from([[], [{"name": "A", "value": "$(B)"}], [{"name": "HOME"}]]),
    imagePullSecrets=st.sampled_from([[], [{"name": "s"}]]),
)
SPECS = some_of(
    source=st.sampled_from(
        [
            {"uri": "oci://r.example/m:1"},
            {"uri": "oci://r.example/m:1", "digest": DIGEST, "secretRef": {"name": "s"}},
            {"uri": f"oci://r.example/m@{DIGEST}"},
        ]
    ),
    artifact=some_of(format=st.sampled_from(["GGUF", "ONNX", "PyTorch"]), sizeBytes=st.integers(1, 1 << 45)),
    task=st.sampled_from(["Auto", "Chat", "Embedding", "ObjectDetection"]),
    engine=some_of(
        type=st.sampled_from(["Auto", "LlamaCpp", "OnnxRuntime", "VLLM"]),
        image=st.sampled_from(["", "mine:1"]),
        args=st.sampled_from([[], ["threads=2"], ["pooling=cls"], ["thread=2"]]),
    ),
    aliases=st.lists(SMALL_NAMES, unique=True, max_size=3),
    exposure=st.sampled_from(["Direct", "RoutesOnly"]),
    contextLength=st.integers(1, 1 << 30),
    parallelSequences=st.integers(1, 4096),
    chatTemplate=st.just({"configMapRef": {"name": "t", "key": "k.jinja"}}),
    accelerator=st.sampled_from(
        [
            {"profiles": ["l4"]},
            {"profiles": ["mi300", "l4"], "count": 2, "sharedMemory": "1Gi"},
            {"profiles": ["l5"]},
            {"memory": "20Gi"},
            {"memory": "900Gi"},
        ]
    ),
    resources=some_of(requests=RESOURCES, limits=RESOURCES),
    replicas=st.integers(0, 1000),
    rollout=some_of(drainTimeout=DURATIONS, startDeadline=DURATIONS),
    suspend=st.booleans(),
    adapters=st.sampled_from(
        [[], [an_adapter("sql")], [an_adapter("draft"), an_adapter("sql", secretRef={"name": "s"})]]
    ),
    draft=st.sampled_from(
        [
            {"source": {"uri": "oci://r.example/small:1", "secretRef": {"name": "s"}}},
            {"source": {"uri": "hf://org/small", "secretRef": {"name": "t"}}, "tokens": 8},
        ]
    ),
    pod=PODS,
)
REPORTS = st.sampled_from(
    [
        a_report(),
        a_report(sizeBytes=None),
        a_report(format="ONNX", task="Embedding"),
        a_report(format="PyTorch"),
        a_report(sizeBytes=1 << 44),
        a_refusal("SourceNotFound"),
        "nonsense",
    ]
)
NODES = st.sampled_from([None, (), (a_node(),), (a_node("a"), a_node("b", resource="amd.com/gpu", gpu="mi300"))])
STATES = st.sampled_from(
    [None, running(), ended(), ended(1, "x"), ended(137, reason="OOMKilled"), waiting("ErrImagePull")]
)
NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
SAID = st.dictionaries(st.sampled_from(["state", "message", "stages"]), NUMBERS)
PROGRESS = st.builds(
    PodProgress,
    loader=st.none() | st.dictionaries(st.sampled_from(["bytesDone", "bytesTotal", "secondsLeft"]), NUMBERS),
    runtime=st.none() | st.fixed_dictionaries({"models": st.lists(SAID, max_size=2)}),
)
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
FEW = settings(max_examples=30)
"""Each example is several reconciles of a whole world."""


def pods_of(children: dict[tuple[str, str], Json]) -> Iterator[Json]:
    for (kind, _), child in children.items():
        if kind in ("Deployment", "Job"):
            yield child["spec"]["template"]["spec"]


def carried_on(world: World, report: str) -> World:
    """As far as the Model comes: its resolvers end, its Deployment is there."""
    world.settle()
    newest = {job["metadata"]["annotations"]["berth.dev/inputs"]: job for job in sorted(world.jobs(), key=attempt_of)}
    for job in newest.values():
        (resolver,) = job["spec"]["template"]["spec"]["containers"]
        said = an_adapter_report() if "--adapter" in resolver["command"] else report
        world.resolve(said, code=0 if "artifact" in said else 1, job=job)
    return world.settle()


def attempt_of(job: Json) -> int:
    return int(job["metadata"]["annotations"]["berth.dev/attempt"])


@FEW
@given(SPECS, REPORTS, NODES)
def test_any_model_comes_to_rest_with_every_condition_explained(spec: Json, report: str, nodes: Any) -> None:
    world = carried_on(a_world(nodes=nodes, **spec), report)
    status = ModelStatus.model_validate(world.status)
    assert {one.type for one in status.conditions} >= {"Accepted", "Progressing", "Available", "Ready"}
    for one in status.conditions:
        assert one.is_true or one.message, one
        assert one.observed_generation == 1
        Condition.model_validate(one.model_dump())
    world.pass_seconds(5)
    assert world.step().status is None


@FEW
@given(SPECS, REPORTS, NODES)
def test_every_pod_passes_pod_security_restricted(spec: Json, report: str, nodes: Any) -> None:
    for pod in pods_of(carried_on(a_world(nodes=nodes, **spec), report).children):
        check_restricted(pod)


def check_restricted(pod: Json) -> None:
    """The rules of Pod Security *restricted*, and ours: a root that can't be written, and no token."""
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] != 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    names = {volume["name"] for volume in pod["volumes"]}
    assert all(volume.keys() - {"name"} <= VOLUMES for volume in pod["volumes"])
    assert len(names) == len(pod["volumes"])
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"] is True
        assert not any("hostPort" in port for port in container.get("ports", ()))
        assert {mount["name"] for mount in container["volumeMounts"]} <= names
        variables = [variable["name"] for variable in container["env"]]
        assert len(variables) == len(set(variables))
        assert "HOME" in variables


@FEW
@given(SPECS, REPORTS)
def test_no_child_holds_what_the_api_server_would_not_take(spec: Json, report: str) -> None:
    for (kind, name), child in carried_on(a_world(**spec), report).children.items():
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
        assert len(name) <= 63, kind
        assert child["metadata"]["ownerReferences"][0]["uid"] == "uid-qwen"
        check_values(child)


def check_values(value: Any) -> None:
    """No null and no number beyond what JSON and the API server keep."""
    assert value is not None
    assert not isinstance(value, int) or abs(value) < 2**63
    assert not isinstance(value, str) or "\0" not in value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_values(part)


@FEW
@given(SPECS, SPECS, REPORTS)
def test_an_edit_there_and_back_ends_where_it_began(spec: Json, other: Json, report: str) -> None:
    world = carried_on(a_world(**spec), report)
    before = {ref: child["spec"] for ref, child in world.children.items() if ref[0] != "Job"}
    good = world.document["spec"]
    world.edit(**{**dict.fromkeys(good), "source": good["source"], **other}).settle()
    world.document["spec"] = good
    world.edit()
    carried_on(world, report)
    # Where nothing was started, the edit may have resolved what could not be before.
    if any(kind == "Deployment" for kind, _ in before):
        after = {ref: child["spec"] for ref, child in world.children.items() if ref[0] != "Job"}
        assert after == before


@FEW
@given(st.lists(st.tuples(STATES, STATES, st.booleans(), PROGRESS), max_size=3), st.integers(0, 3))
def test_any_pods_give_a_plan_that_is_the_same_twice_and_comes_to_rest(seen: list[Any], ready: int) -> None:
    world = carried_on(a_world(replicas=3), a_report())
    pods = [
        a_pod(
            f"qwen-{index}", revision=world.revision, fetch=fetch, engine=engine, ready=answers and engine is not None
        )
        for index, (fetch, engine, answers, _) in enumerate(seen)
    ]
    world.serve(ready, *pods)
    world.progress = {f"qwen-{index}": progress for index, (_, _, _, progress) in enumerate(seen)}
    assert world.plan() == world.plan()
    world.settle()


@FEW
@given(st.permutations([a_pod("a", fetch=running()), a_pod("b", scheduled="no node"), a_pod("c", fetch=ended(1))]))
def test_the_order_of_what_is_seen_does_not_matter(pods: list[Json]) -> None:
    world = carried_on(a_world(replicas=3), a_report())
    for pod in pods:
        pod["metadata"]["labels"]["berth.dev/revision"] = world.revision
    world.serve(0, *sorted(pods, key=lambda pod: str(pod["metadata"]["name"])))
    sorted_plan = world.plan()
    world.pods = pods
    assert world.plan().status == sorted_plan.status
