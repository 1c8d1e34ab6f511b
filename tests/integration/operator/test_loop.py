"""The operator as a process against a real API server: from a manifest to children and status, and then quiet."""

import asyncio
import json
from pathlib import Path

import pytest
from api_server import ApiServer
from operator_process import DIGEST, Town, running_operator

from berth_kube.resources import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    JOBS,
    LEASES,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Key,
)
from berth_operator.subject import MODEL_ROUTES, MODELS

pytestmark = pytest.mark.needs("kube")

REPORT = json.dumps(
    {
        "artifact": {"format": "GGUF", "task": "Chat", "digest": DIGEST, "sizeBytes": 1000},
        "weights": "model.gguf",
        "notes": [],
    }
)
WRITTEN = (MODELS, MODEL_ROUTES, DEPLOYMENTS, SERVICES, NETWORK_POLICIES, DISRUPTION_BUDGETS, JOBS)


async def test_a_model_of_which_all_is_known_gets_its_children_and_status(
    api_server: ApiServer, town: Town, tmp_path: Path
) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare("qwen")

        async def is_written() -> bool:
            return bool(await town.condition("qwen", "Progressing"))

        await operator.until(is_written)
        assert (await town.condition("qwen", "Accepted"))["status"] == "True"
        assert (await town.condition("qwen", "Resolved"))["status"] == "True"
        assert set(await town.all_of(DEPLOYMENTS)) == {"qwen-engine"}
        assert set(await town.all_of(SERVICES)) == {"qwen-engine"}
        assert await town.all_of(JOBS) == {}


async def test_a_model_is_resolved_by_a_job_and_the_job_goes(api_server: ApiServer, town: Town, tmp_path: Path) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare_unknown("qwen")

        async def has_job() -> bool:
            return len(await town.all_of(JOBS)) == 1

        await operator.until(has_job)
        (job,) = await town.all_of(JOBS)
        await town.end_resolver(job, REPORT)

        async def is_resolved() -> bool:
            resolved = (await town.condition("qwen", "Resolved")).get("status") == "True"
            return resolved and not await town.all_of(JOBS) and set(await town.all_of(DEPLOYMENTS)) == {"qwen-engine"}

        await operator.until(is_resolved)


async def test_a_resolver_that_fails_tells_the_user_why(api_server: ApiServer, town: Town, tmp_path: Path) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare_unknown("qwen")

        async def has_job() -> bool:
            return len(await town.all_of(JOBS)) == 1

        await operator.until(has_job)
        (job,) = await town.all_of(JOBS)
        await town.end_resolver(job, json.dumps({"reason": "SourceNotFound", "message": "no such tag"}), code=1)

        async def is_told() -> bool:
            condition = await town.condition("qwen", "Resolved")
            return condition.get("reason") == "SourceNotFound" and "no such tag" in condition["message"]

        await operator.until(is_told)


async def test_a_quiet_operator_writes_nothing(api_server: ApiServer, town: Town, tmp_path: Path) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        for number in range(3):
            await town.declare(f"m{number}")
        await town.declare_route("chat", model="m0")

        async def is_done() -> bool:
            said = [await town.condition(f"m{number}", "Progressing") for number in range(3)]
            return all(said) and bool(await town.condition("chat", "Accepted", MODEL_ROUTES))

        await operator.until(is_done)
        before, lease = await town.versions(*WRITTEN), await town.versions(LEASES)
        writes = await operator.metric("writes_total")

        async def lease_was_renewed_often() -> bool:
            now = await town.versions(LEASES)
            return int(*now.values()) - int(*lease.values()) >= 8

        await operator.until(lease_was_renewed_often)
        assert await town.versions(*WRITTEN) == before
        assert await operator.metric("writes_total") == writes


async def test_an_operator_that_starts_anew_writes_nothing(api_server: ApiServer, town: Town, tmp_path: Path) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare("qwen")

        async def is_done() -> bool:
            return bool(await town.condition("qwen", "Progressing"))

        await operator.until(is_done)
        assert await operator.terminate() == 0
    before = await town.versions(*WRITTEN)
    async with running_operator(api_server, town.namespace, tmp_path) as operator:

        async def has_looked() -> bool:
            return await operator.probe("/readyz") == 200 and await operator.metric("reconciles_total") >= 1

        await operator.until(has_looked)
        assert await operator.metric("writes_total") == 0
    assert await town.versions(*WRITTEN) == before


async def test_what_somebody_else_breaks_is_repaired(api_server: ApiServer, town: Town, tmp_path: Path) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare("qwen")

        async def is_done() -> bool:
            return bool(await town.condition("qwen", "Progressing"))

        await operator.until(is_done)
        service = (await town.all_of(SERVICES))["qwen-engine"]
        await town.forget(SERVICES, "qwen-engine")

        async def is_back() -> bool:
            found = (await town.all_of(SERVICES)).get("qwen-engine")
            return found is not None and found["metadata"]["uid"] != service["metadata"]["uid"]

        await operator.until(is_back)
        key = Key(town.namespace, "qwen-engine")
        await town.cluster.merge(DEPLOYMENTS, key, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}})

        async def is_labelled() -> bool:
            labels = (await town.all_of(DEPLOYMENTS))["qwen-engine"]["metadata"]["labels"]
            return bool(labels.get("app.kubernetes.io/managed-by") == "berth")

        await operator.until(is_labelled)


async def test_an_object_of_others_is_never_taken_over(api_server: ApiServer, town: Town, tmp_path: Path) -> None:
    key = Key(town.namespace, "qwen-engine")
    metadata = {"name": key.name, "namespace": key.namespace}
    spec = {"ports": [{"port": 1}]}
    foreign = await town.cluster.create(
        SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    )
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare("qwen")

        async def is_told() -> bool:
            return (await town.condition("qwen", "Accepted")).get("reason") == "ChildNameTaken"

        await operator.until(is_told)
        found = await town.cluster.get(SERVICES, key)
        assert found["metadata"]["resourceVersion"] == foreign["metadata"]["resourceVersion"]
        await town.forget(SERVICES, key.name)

        async def is_accepted() -> bool:
            return (await town.condition("qwen", "Accepted")).get("status") == "True"

        await operator.until(is_accepted)


async def test_a_child_that_is_refused_names_the_field_and_a_repair_helps(
    api_server: ApiServer, town: Town, tmp_path: Path
) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare("qwen", pod={"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]})

        async def is_told() -> bool:
            condition = await town.condition("qwen", "Accepted")
            return condition.get("status") == "False" and "spec.pod.tolerations" in condition["message"]

        await operator.until(is_told)
        await town.declare("qwen")

        async def is_repaired() -> bool:
            accepted = (await town.condition("qwen", "Accepted")).get("status") == "True"
            return accepted and "qwen-engine" in await town.all_of(DEPLOYMENTS)

        await operator.until(is_repaired)


async def test_a_pod_that_has_its_weights_loses_its_way_out(api_server: ApiServer, town: Town, tmp_path: Path) -> None:
    done = {"name": "fetch", "state": {"terminated": {"exitCode": 0}}, "ready": True, "restartCount": 0}
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare("qwen")
        await town.serve("qwen", "qwen-pod", initContainerStatuses=[{**done, "image": "x", "imageID": "x"}])
        key = Key(town.namespace, "qwen-pod")
        await town.cluster.merge(PODS, key, {"metadata": {"labels": {"berth.dev/loading": ""}}})

        async def has_lost_it() -> bool:
            return "berth.dev/loading" not in (await town.cluster.get(PODS, key))["metadata"]["labels"]

        await operator.until(has_lost_it)


async def test_an_edit_reaches_its_child_within_seconds_even_after_many(
    api_server: ApiServer, town: Town, tmp_path: Path
) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await town.declare("qwen")
        for replicas in range(2, 6):
            await town.declare("qwen", replicas=replicas)
            await asyncio.sleep(0)

        async def is_applied() -> bool:
            found = (await town.all_of(DEPLOYMENTS)).get("qwen-engine")
            return found is not None and found["spec"]["replicas"] == 5

        await operator.until(is_applied)


async def test_an_operator_of_the_whole_cluster_serves_every_namespace(
    api_server: ApiServer, town: Town, tmp_path: Path
) -> None:
    other = Town(town.cluster, f"{town.namespace}-other")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other.namespace}}
    await town.cluster.create(NAMESPACES, namespace)
    async with running_operator(api_server, town.namespace, tmp_path, watchNamespaces=[], readNodes=True) as operator:
        await town.declare("qwen")
        await other.declare("qwen")

        async def is_written() -> bool:
            return all([await where.condition("qwen", "Progressing") for where in (town, other)])

        await operator.until(is_written)
        for where in (town, other):
            assert set(await where.all_of(DEPLOYMENTS)) == {"qwen-engine"}
