"""The rights of rights.py suffice, and each of them is used: the API server's own audit log is compared with them."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from api_server import CRDS, ApiServer, running_api_server
from operator_parts import a_child
from operator_process import DIGEST, Town, running_operator

from berth_kube.client import connect
from berth_kube.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    JOBS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Key,
    Object,
)
from berth_operator.rights import HOME_RIGHTS, NODE_RIGHTS, RIGHTS, Rights
from berth_operator.subject import MODEL_ROUTES

pytestmark = pytest.mark.needs("kube")

USER = "system:serviceaccount:default:berth-operator"
UNSEEN = {
    # A check inside other requests, which this server makes: without the right they would be refused.
    ("berth.dev", "models/finalizers", "update"),
    # Comes with the second Event of the same words, a minute after the first.
    ("events.k8s.io", "events", "patch"),
}
REPORT = {
    "artifact": {"format": "GGUF", "task": "Chat", "digest": DIGEST, "sizeBytes": 1000},
    "weights": "",
    "notes": [],
}


def verbs_of(*rights: Rights) -> set[tuple[str, str, str]]:
    return {(one.group, one.plural, verb) for part in rights for one, verbs in part.items() for verb in verbs}


def rules_of(rights: Rights) -> list[Mapping[str, Any]]:
    return [
        {"apiGroups": [one.group], "resources": [one.plural], "verbs": list(verbs)} for one, verbs in rights.items()
    ]


@pytest.fixture
def audited_server(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server that writes down what the operator does, and checks whether it may block deletions."""
    policy = tmp_path / "policy.json"
    rule = {"level": "Metadata", "users": [USER], "omitStages": ["RequestReceived"]}
    policy.write_text(
        json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule, {"level": "None"}]})
    )
    arguments = (
        f"--audit-policy-file={policy}",
        f"--audit-log-path={tmp_path / 'audit.log'}",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
    )
    with running_api_server(tmp_path / "server", crds=[CRDS], arguments=arguments) as server:
        grant(server, "Role", "here", RIGHTS)
        grant(server, "Role", "home", HOME_RIGHTS)
        grant(server, "ClusterRole", "nodes", NODE_RIGHTS)
        yield server


def grant(server: ApiServer, kind: str, name: str, rights: Rights) -> None:
    """A role with exactly these rights, and the operator bound to it."""
    metadata = {"name": name} | ({"namespace": "default"} if kind == "Role" else {})
    group = "rbac.authorization.k8s.io"
    base = f"/apis/{group}/v1" + ("/namespaces/default" if kind == "Role" else "")
    head = {"apiVersion": f"{group}/v1", "metadata": metadata}
    server.ask(f"{base}/{kind.lower()}s", method="POST", body={**head, "kind": kind, "rules": rules_of(rights)})
    binding = {
        "kind": f"{kind}Binding",
        "roleRef": {"apiGroup": group, "kind": kind, "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    }
    server.ask(f"{base}/{kind.lower()}bindings", method="POST", body={**head, **binding})


def audited(log: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def used_verbs(events: list[Mapping[str, Any]]) -> set[tuple[str, str, str]]:
    used = set()
    for event in events:
        reference = event.get("objectRef")
        if reference is None:
            continue
        plural = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
        used.add((reference.get("apiGroup", ""), plural, event["verb"]))
        if event["verb"] == "patch" and event["responseStatus"]["code"] == 201:
            used.add((reference.get("apiGroup", ""), plural, "create"))
    return used


def leftover(model: Object) -> Object:
    """A policy that some earlier version made for a Model."""
    head = {"apiVersion": NETWORK_POLICIES.api_version, "kind": NETWORK_POLICIES.kind}
    return head | a_child(model, resource=NETWORK_POLICIES, name="qwen-of-old", podSelector={})


PROFILES = {"l4": {"memory": "24Gi"}}
LARGE: dict[str, Any] = {
    "artifact": {"format": "Safetensors", "task": "Chat", "sizeBytes": 1000},
    "engine": {"type": "VLLM", "image": "registry.example.com/vllm:1"},
}
OWNED = {"type": "OwnedClaim", "ownedClaim": {"size": "1Gi"}}


async def test_every_right_is_used_and_no_other_is_needed(audited_server: ApiServer, tmp_path: Path) -> None:
    user = audited_server.kubeconfig_of(USER)
    async with (
        connect(audited_server.credentials()) as cluster,
        running_operator(
            audited_server, "default", tmp_path, kubeconfig=user, readNodes=True, profiles=PROFILES
        ) as operator,
    ):
        town = Town(cluster, "default")
        await town.declare_unknown("qwen", replicas=2, cache=OWNED)
        await town.declare("imaged", cache={"type": "ImageVolume", "prefetch": True})
        await town.declare("grouped", accelerator={"profiles": ["l4"], "nodes": 2}, **LARGE)
        await town.declare_route("chat")

        async def has_members() -> bool:
            return "grouped-members" in await town.all_of(DEPLOYMENTS)

        await operator.until(has_members)
        await town.declare("grouped", accelerator={"profiles": ["l4"]}, **LARGE)

        async def has_job() -> bool:
            return len(await town.all_of(JOBS)) == 1

        await operator.until(has_job)
        (job,) = await town.all_of(JOBS)
        await town.end_resolver(job, json.dumps(REPORT))

        async def has_daemon_set() -> bool:
            return bool(await town.all_of(DAEMON_SETS))

        await operator.until(has_daemon_set)
        await town.declare("imaged", cache={"type": "ImageVolume"})

        async def has_budget() -> bool:
            return bool(await town.all_of(DISRUPTION_BUDGETS)) and not await town.all_of(JOBS)

        await operator.until(has_budget)
        done = {"name": "fetch", "state": {"terminated": {"exitCode": 0}}, "ready": True, "restartCount": 0}
        await town.serve("qwen", "qwen-pod", initContainerStatuses=[{**done, "image": "x", "imageID": "x"}])
        pod = Key("default", "qwen-pod")
        await cluster.merge(PODS, pod, {"metadata": {"labels": {"berth.dev/loading": ""}}})
        await cluster.create(NETWORK_POLICIES, leftover(await town.declare_unknown("qwen", replicas=1)))

        async def is_swept() -> bool:
            policies = await town.all_of(NETWORK_POLICIES)
            budgets_and_sets = {*await town.all_of(DISRUPTION_BUDGETS), *await town.all_of(DAEMON_SETS)}
            of_groups = {"grouped-members", "grouped-group"} & {
                *await town.all_of(DEPLOYMENTS),
                *await town.all_of(SERVICES),
            }
            return not budgets_and_sets and not of_groups and "qwen-of-old" not in policies

        async def has_closed() -> bool:
            return "berth.dev/loading" not in (await cluster.get(PODS, pod))["metadata"]["labels"]

        async def is_routed() -> bool:
            return bool(await town.condition("chat", "Accepted", MODEL_ROUTES))

        for rule in (is_swept, has_closed, is_routed):
            await operator.until(rule)
        await operator.terminate()
    events = await asyncio.to_thread(audited, tmp_path / "audit.log")
    assert [event for event in events if event["responseStatus"]["code"] == 403] == []
    used = used_verbs(events)
    granted = verbs_of(RIGHTS, HOME_RIGHTS, NODE_RIGHTS)
    assert used - granted == set()
    assert granted - used == UNSEEN
