"""How the operator ends and is followed: signals, kills at any moment, two replicas, an API server that goes away."""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from api_server import CRDS, ApiServer, running_api_server
from operator_process import LEASE, OperatorProcess, Town, running_operator, until

from berth_api.names import ANNOTATION_APPLIED_HASH
from berth_kube.client import connect
from berth_kube.resources import DEPLOYMENTS, JOBS, LEASES, NAMESPACES, NETWORK_POLICIES, SERVICES, Key, Object
from berth_operator.subject import MODELS

pytestmark = pytest.mark.needs("kube")

MODEL_COUNT = 6
KILLS = 8
CHILDREN = (DEPLOYMENTS, SERVICES, NETWORK_POLICIES, JOBS)


async def holder(town: Town) -> str:
    found = (await town.all_of(LEASES)).get("berth-operator")
    return str((found or {}).get("spec", {}).get("holderIdentity") or "")


async def declare_some(town: Town) -> None:
    for number in range(MODEL_COUNT):
        await town.declare(f"m{number}", aliases=["everyone-s"], replicas=1 + number % 3)


async def are_settled(town: Town) -> bool:
    said = [await town.condition(f"m{number}", "Progressing") for number in range(MODEL_COUNT)]
    names = {name for resource in CHILDREN for name in await town.all_of(resource)}
    return all(said) and {f"m{number}-engine" for number in range(MODEL_COUNT)} <= names


def shape(obj: Object) -> Mapping[str, Any]:
    """What one run and another must agree on. The hash of the wish covers the owner's UID, which differs."""
    metadata = obj["metadata"]
    annotations = {
        name: text for name, text in metadata.get("annotations", {}).items() if name != ANNOTATION_APPLIED_HASH
    }
    conditions = {(c["type"], c["status"], c["reason"]) for c in obj.get("status", {}).get("conditions", ())}
    spec = {name: value for name, value in obj["spec"].items() if name not in ("clusterIP", "clusterIPs")}
    return {
        "labels": metadata.get("labels"),
        "annotations": annotations,
        "spec": spec,
        "conditions": sorted(conditions),
    }


async def end_state(town: Town) -> dict[str, Mapping[str, Any]]:
    found = {}
    for resource in (MODELS, *CHILDREN):
        for name, obj in (await town.all_of(resource)).items():
            found[f"{resource.kind}/{name}"] = shape(obj)
    # Policies name the namespace of the release, which each town is for itself here.
    state: dict[str, Mapping[str, Any]] = json.loads(json.dumps(found).replace(town.namespace, "here"))
    return state


async def test_sigterm_ends_an_idle_operator_in_time_and_gives_the_lease_back(
    api_server: ApiServer, town: Town, tmp_path: Path
) -> None:
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await operator.until_leading()
        before = time.monotonic()
        assert await operator.terminate() == 0
        assert time.monotonic() - before < 3
        assert await holder(town) == ""


async def test_kills_at_random_moments_lead_to_the_same_end(api_server: ApiServer, town: Town, tmp_path: Path) -> None:
    chance = random.Random(4)
    reference = Town(town.cluster, f"{town.namespace}-reference")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": reference.namespace}}
    await town.cluster.create(NAMESPACES, body)
    async with running_operator(api_server, reference.namespace, tmp_path, name="reference") as operator:
        await declare_some(reference)
        await operator.until(lambda: are_settled(reference))
        expected = await end_state(reference)

    await declare_some(town)
    async with running_operator(api_server, town.namespace, tmp_path, name="first") as operator:
        await operator.until_leading()
        await operator.kill()
    uids: dict[str, str] = {}
    for _ in range(KILLS):
        async with running_operator(
            api_server, town.namespace, tmp_path, limits={"writesPerSecond": 20, "burst": 1}
        ) as operator:
            await operator.until_ready()
            await free_lease(town)
            await operator.until_leading()
            await asyncio.sleep(chance.uniform(0, 0.4))
            await operator.kill()
        uids = await unchanged_uids(town, uids)
    async with running_operator(api_server, town.namespace, tmp_path) as operator:
        await free_lease(town)
        await operator.until(lambda: are_settled(town))

        await operator.until(lambda: is_quiet(town))
        assert await end_state(town) == expected
        await unchanged_uids(town, uids)


async def is_quiet(town: Town) -> bool:
    """Whether nothing was written for a moment."""
    before = await town.versions(MODELS, *CHILDREN)
    await asyncio.sleep(0.5)
    return await town.versions(MODELS, *CHILDREN) == before


async def free_lease(town: Town) -> None:
    """What time would do: a Lease whose holder was killed is free, here at once."""
    key = Key(town.namespace, "berth-operator")
    if await holder(town):
        await town.cluster.merge(LEASES, key, {"spec": {"holderIdentity": ""}})


async def unchanged_uids(town: Town, before: Mapping[str, str]) -> dict[str, str]:
    """No child was ever deleted and made again."""
    now = {
        f"{r.kind}/{name}": str(one["metadata"]["uid"])
        for r in CHILDREN
        for name, one in (await town.all_of(r)).items()
    }
    assert {name: now.get(name) for name in before} == dict(before)
    return now


async def test_of_two_replicas_one_leads_and_the_other_follows_on(
    api_server: ApiServer, town: Town, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(running_operator(api_server, town.namespace, tmp_path, name=name))
            for name in ("operator-1", "operator-2")
        ]
        for replica in replicas:
            await replica.until_ready()
        leader, follower = await leader_of(replicas)
        await town.declare("qwen")
        await leader.until(lambda: is_written(town, "qwen"))
        assert await follower.metric("writes_total") == 0
        await leader.kill()
        started = time.monotonic()
        await town.declare("phi")
        await follower.until(lambda: is_written(town, "phi"))
        assert time.monotonic() - started < 4 * LEASE["durationSeconds"]


async def test_a_leader_that_ends_in_order_is_followed_at_once(
    api_server: ApiServer, town: Town, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(
                running_operator(api_server, town.namespace, tmp_path, name=name, lease=LEASE | {"durationSeconds": 60})
            )
            for name in ("operator-1", "operator-2")
        ]
        for replica in replicas:
            await replica.until_ready()
        leader, follower = await leader_of(replicas)
        started = time.monotonic()
        assert await leader.terminate() == 0
        await follower.until_leading()
        assert time.monotonic() - started < 30


async def leader_of(replicas: list[OperatorProcess]) -> tuple[OperatorProcess, OperatorProcess]:
    """The one that leads, then the other; never both."""
    found: list[float] = []

    async def one_leads() -> bool:
        found[:] = [await replica.metric("leading") for replica in replicas]
        assert sum(found) <= 1
        return sum(found) == 1

    await until(one_leads)
    first, second = replicas
    return (first, second) if found[0] else (second, first)


async def is_written(town: Town, model: str) -> bool:
    return bool(await town.condition(model, "Progressing"))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server that a test may break."""
    with running_api_server(tmp_path / "server", crds=[CRDS]) as server:
        yield server


async def test_without_our_kinds_the_process_says_so_and_ends(tmp_path: Path) -> None:
    with running_api_server(tmp_path / "server") as server:
        async with running_operator(server, "default", tmp_path) as operator:
            assert await operator.ended() == 1
            assert "apply the chart's CRDs" in operator.tail()


async def test_a_kind_that_is_removed_ends_the_process_rather_than_leaving_it_blind(
    own_server: ApiServer, tmp_path: Path
) -> None:
    async with running_operator(own_server, "default", tmp_path) as operator:
        await operator.until_leading()
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/models.berth.dev"
        await asyncio.to_thread(own_server.ask, path, method="DELETE")
        assert await operator.ended() == 1


async def test_an_api_server_that_goes_away_and_comes_back_is_no_reason_to_end(
    own_server: ApiServer, tmp_path: Path
) -> None:
    async with (
        connect(own_server.credentials()) as cluster,
        running_operator(own_server, "default", tmp_path) as operator,
    ):
        town = Town(cluster, "default")
        await operator.until_leading()
        await town.declare("before")
        await operator.until(lambda: is_written(town, "before"))
        await asyncio.to_thread(own_server.stop_api, hard=True)

        async def follows() -> bool:
            return await operator.metric("leading") == 0

        await operator.until(follows)
        assert await operator.probe("/healthz") == 200
        await asyncio.to_thread(own_server.start_api)
        await town.declare("after")
        await operator.until(lambda: is_written(town, "after"))


async def test_a_model_that_vanished_in_a_gap_of_history_is_forgotten(own_server: ApiServer, tmp_path: Path) -> None:
    often = "import berth_operator.audit; berth_operator.audit.AUDIT_SECONDS = 0.5"
    async with (
        connect(own_server.credentials()) as cluster,
        running_operator(own_server, "default", tmp_path, prologue=often) as operator,
    ):
        town = Town(cluster, "default")
        await town.declare("stays")
        await town.declare("vanishes")
        await operator.until(lambda: is_written(town, "vanishes"))

        def lose_history() -> None:
            own_server.stop_api(hard=True)
            own_server.ask_etcd("kv/deleterange", key=b"/registry/berth.dev/models/default/vanishes")
            own_server.compact()
            own_server.start_api()

        await asyncio.to_thread(lose_history)

        async def is_forgotten() -> bool:
            return await operator.metric('objects{kind="Model"') == 1

        await operator.until(is_forgotten)
        assert operator.process.returncode is None
