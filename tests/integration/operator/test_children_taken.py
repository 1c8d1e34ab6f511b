"""What a Model is made of, and how a real API server takes it: without drift, and under Pod Security."""

import itertools
from typing import Any

import pytest
from operator_builders import Json, World, a_document, a_report, a_resolved_world, a_serving_world
from operator_process import Town

from berth_kube.errors import Forbidden, Rejected
from berth_kube.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    JOBS,
    NAMESPACES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICES,
    Key,
    Object,
    key_of,
    uid_of,
)
from berth_operator.drift import needs_apply
from berth_operator.failures import refused_fields
from berth_operator.subject import MODELS

pytestmark = pytest.mark.needs("kube")

RESOURCES = {
    one.kind: one
    for one in (
        *(DAEMON_SETS, DEPLOYMENTS, DISRUPTION_BUDGETS, JOBS),
        *(NETWORK_POLICIES, PERSISTENT_VOLUME_CLAIMS, SERVICES),
    )
}
MANAGER = "berth-operator"
NO_TERMS: Json = {"requiredDuringSchedulingIgnoredDuringExecution": []}
SECRET = {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}
NEAR: Json = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}]
    }
}
MODELS_TO_TRY: dict[str, Json] = {
    "a model that says nothing": {},
    "a model that says all": {
        "source": {"uri": "oci://r.example/m:1", "secretRef": {"name": "token"}},
        "engine": {"type": "LlamaCpp", "args": ["threads=2"], "image": "mine.example/engine:1"},
        "chatTemplate": {"configMapRef": {"name": "templates", "key": "qwen.jinja"}},
        "resources": {"requests": {"cpu": "1500m", "memory": "1024Mi"}, "limits": {"cpu": 2, "memory": "2Gi"}},
        "replicas": 3,
        "rollout": {"drainTimeout": "0s", "startDeadline": "1s"},
        "pod": {
            "labels": {"team": "a", "empty": ""},
            "annotations": {"example.com/owner": "$(me)"},
            "nodeSelector": {"disk": ""},
            "tolerations": [{"operator": "Exists"}, {"key": "x", "value": "", "effect": "NoSchedule"}],
            "affinity": {
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []},
                "nodeAffinity": None,
            },
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": None}
            ],
            "serviceAccountName": "reader",
            "env": [
                {"name": "A", "value": ""},
                {"name": "B", "valueFrom": SECRET},
                {"name": "HOME", "value": "/tmp/x"},
            ],
            "imagePullSecrets": [{"name": "s"}],
        },
    },
    "a model on a claim": {"cache": {"type": "Claim", "claim": {"claimName": "weights"}}},
    "a model with a claim of its own": {
        "cache": {"type": "OwnedClaim", "ownedClaim": {"size": "1536Mi", "storageClassName": "fast"}},
        "pod": {"affinity": {"podAffinity": None}},
    },
    "a model whose claim is retained": {
        "cache": {"type": "OwnedClaim", "ownedClaim": {"size": "1Gi", "deletionPolicy": "Retain"}}
    },
    "a model in an image": {"cache": {"type": "ImageVolume"}},
    "a model in an image that is on its nodes beforehand": {
        "source": {"uri": "oci://r.example/m:1", "secretRef": {"name": "token"}},
        "cache": {"type": "ImageVolume", "prefetch": True},
        "pod": {"affinity": {"nodeAffinity": None}, "tolerations": [{"operator": "Exists"}], "annotations": {"a": "b"}},
    },
    "a model on a GPU": {"accelerator": {"profiles": ["l4"], "count": 2, "sharedMemory": "1Gi"}, "suspend": True},
}
WRONG: dict[str, tuple[Json, str]] = {
    "an affinity of an unknown operator": ({"affinity": {"nodeAffinity": NEAR}}, "spec.pod.affinity"),
    "a toleration that contradicts itself": (
        {"tolerations": [{"operator": "Exists", "value": "a"}]},
        "spec.pod.tolerations[0]",
    ),
    "a field of the pod that is not there": (
        {"env": [{"name": "A"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.nothing"}}}]},
        "spec.pod.env[1]",
    ),
}
_numbers = itertools.count(1)


async def settled(town: Town, **spec: Any) -> World:
    """The world of a Model that the API server has stored, with everything that comes of it."""
    name = f"m{next(_numbers)}"
    document = a_document(name, **spec)
    body = {part: document[part] for part in ("apiVersion", "kind", "spec")}
    stored = await town.cluster.create(MODELS, {**body, "metadata": {"name": name, "namespace": town.namespace}})
    world = World(dict(stored))
    world.step()
    return world.resolve(a_report()) if world.jobs() else world


async def take(town: Town, wanted: Object) -> Object:
    return await town.cluster.apply(RESOURCES[wanted["kind"]], wanted, manager=MANAGER)


@pytest.mark.parametrize("what", MODELS_TO_TRY)
async def test_every_child_is_taken_as_it_is_wanted_and_needs_no_second_apply(town: Town, what: str) -> None:
    world = await settled(town, **MODELS_TO_TRY[what])
    writes = [*world.plan().writes, *World(world.document).plan().writes]
    assert {write.body["kind"] for write in writes} >= {"Deployment", "Job", "NetworkPolicy", "Service"}
    for write in writes:
        await take(town, write.body)
        key = Key(town.namespace, write.body["metadata"]["name"])
        found = await town.cluster.get(write.resource, key)
        assert not needs_apply(write.body, found), write.body["kind"]
        again = await take(town, write.body)
        if write.resource is not PERSISTENT_VOLUME_CLAIMS:  # of a claim, the server counts every apply as a change
            assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


async def test_a_selector_that_somebody_narrowed_is_set_back(town: Town) -> None:
    (wanted,) = [write.body for write in (await settled(town)).plan().writes if write.body["kind"] == "Service"]
    await take(town, wanted)
    narrowed = {"spec": {"selector": {"team": "a"}}}
    found = await town.cluster.merge(SERVICES, Key(town.namespace, wanted["metadata"]["name"]), narrowed)
    assert needs_apply(wanted, found)
    assert (await take(town, wanted))["spec"]["selector"] == wanted["spec"]["selector"]


async def test_every_pod_is_admitted_where_pod_security_is_restricted(town: Town) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await town.cluster.merge(NAMESPACES, Key("", town.namespace), label)
    for spec in MODELS_TO_TRY.values():
        world = await settled(town, **spec)
        for write in (*world.plan().writes, *World(world.document).plan().writes):
            if write.body["kind"] in ("Deployment", "Job", "DaemonSet"):
                template = write.body["spec"]["template"]
                metadata = {**template["metadata"], "name": f"pod-{next(_numbers)}", "namespace": town.namespace}
                pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
                assert uid_of(await town.cluster.create(PODS, pod))


@pytest.mark.parametrize("what", WRONG)
async def test_what_the_server_refuses_is_told_as_the_users_own_field(town: Town, what: str) -> None:
    options, field = WRONG[what]
    world = await settled(town, pod=options)
    (deployment,) = [write.body for write in world.plan().writes if write.body["kind"] == "Deployment"]
    with pytest.raises(Rejected) as refused:
        await take(town, deployment)
    errors = refused_fields({("Deployment", deployment["metadata"]["name"]): refused.value})
    assert errors[0].path.startswith(field), errors


async def test_a_limit_below_its_request_is_told_as_the_users_own_field(town: Town) -> None:
    world = await settled(town, resources={"requests": {"cpu": 2}, "limits": {"cpu": 1}})
    (deployment,) = [write.body for write in world.plan().writes if write.body["kind"] == "Deployment"]
    with pytest.raises(Rejected) as refused:
        await take(town, deployment)
    assert refused_fields({("Deployment", "x"): refused.value})[0].path.startswith("spec.resources.requests")


async def test_a_status_is_stored_as_it_is_planned(town: Town) -> None:
    world = await settled(town)
    named = {"name": world.document["metadata"]["name"], "namespace": town.namespace}
    for status in (world.status, a_resolved_world().status, a_serving_world(replicas=2).status):
        body = {"apiVersion": MODELS.api_version, "kind": "Model", "metadata": named, "status": status}
        stored = await town.cluster.apply_status(MODELS, body, manager=MANAGER)
        assert stored["status"] == status


async def claim_of(town: Town, owned: Json, name: str = "") -> Json:
    """The claim of a Model of its own, at the name of another's if one is given."""
    world = await settled(town, cache={"type": "OwnedClaim", "ownedClaim": owned})
    (claim,) = [write.body for write in world.plan().writes if write.body["kind"] == "PersistentVolumeClaim"]
    return {**claim, "metadata": {**claim["metadata"], **({"name": name} if name else {})}}


async def a_bound_claim(town: Town, owned: Json) -> Object:
    """One that a volume was found for, as the controllers write it, which do not run here."""
    claim = await take(town, await claim_of(town, owned))
    key = key_of(claim)
    await town.cluster.merge(PERSISTENT_VOLUME_CLAIMS, key, {"spec": {"volumeName": "pv"}})
    status = {"phase": "Bound", "capacity": {"storage": owned["size"]}, "accessModes": ["ReadWriteOnce"]}
    head = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    metadata = {"name": key.name, "namespace": key.namespace}
    body = {**head, "metadata": metadata, "status": status}
    return await town.cluster.apply_status(PERSISTENT_VOLUME_CLAIMS, body, manager="kube-controller-manager")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"storageClassName": "other"}, "spec.cache.ownedClaim"),
        ({"accessMode": "ReadWriteMany"}, "spec.cache.ownedClaim"),
        ({"size": "1Gi"}, "spec.cache.ownedClaim.size"),
    ],
)
async def test_what_a_claim_can_not_become_is_told_as_the_users_own_field(town: Town, change: Json, field: str) -> None:
    given: Json = {"size": "2Gi", "storageClassName": "fast", "deletionPolicy": "Retain"}
    claim = await a_bound_claim(town, given)
    wanted = await claim_of(town, {**given, **change}, name=claim["metadata"]["name"])
    with pytest.raises(Rejected) as refused:
        await take(town, wanted)
    (error,) = refused_fields({("PersistentVolumeClaim", claim["metadata"]["name"]): refused.value})
    assert (error.path, "\n" in error.message) == (field, False)
    assert "Forbidden: " in error.message


async def test_a_claim_that_can_not_grow_is_refused_in_the_servers_words(town: Town) -> None:
    given: Json = {"size": "2Gi", "storageClassName": "fast", "deletionPolicy": "Retain"}
    claim = await a_bound_claim(town, given)
    with pytest.raises(Forbidden, match="support resize"):
        await take(town, await claim_of(town, {**given, "size": "3Gi"}, name=claim["metadata"]["name"]))
