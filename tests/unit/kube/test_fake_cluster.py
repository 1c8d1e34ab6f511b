"""What the fake in memory does beyond the contract: faults on demand, and the garbage collector of a cluster."""

import pytest
from cluster_contract import config_map
from fake_cluster import FakeCluster
from stepped_time import settle

from berth_kube.errors import NotFound, Unreachable
from berth_kube.resources import CONFIG_MAPS, SERVICES, Key, Object, uid_of

A, B = Key("default", "a"), Key("default", "b")


def owned(name: str, *owners: Object) -> Object:
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": uid_of(owner)}
        for owner in owners
    ]
    body = config_map("default", name)
    return {**body, "metadata": {**body["metadata"], "ownerReferences": references}}


async def test_what_an_owner_owned_goes_soon_after_it() -> None:
    cluster = FakeCluster()
    owner = cluster.put(CONFIG_MAPS, config_map("default", "a"))
    await cluster.create(SERVICES, owned("b", owner))
    await cluster.delete(CONFIG_MAPS, A, uid=uid_of(owner))
    await settle()
    with pytest.raises(NotFound):
        await cluster.get(SERVICES, B)


async def test_what_is_made_for_an_owner_that_is_gone_goes_too() -> None:
    cluster = FakeCluster()
    owner = cluster.put(CONFIG_MAPS, config_map("default", "a"))
    cluster.remove(CONFIG_MAPS, A)
    await cluster.create(SERVICES, owned("b", owner))
    await settle()
    assert cluster.all_of(SERVICES) == []


async def test_what_has_another_owner_stays() -> None:
    cluster = FakeCluster()
    owners = [cluster.put(CONFIG_MAPS, config_map("default", name)) for name in ("a", "other")]
    await cluster.create(SERVICES, owned("b", *owners))
    cluster.remove(CONFIG_MAPS, A)
    await settle()
    assert len(cluster.all_of(SERVICES)) == 1


async def test_a_fault_strikes_only_what_it_is_meant_for_and_so_often() -> None:
    cluster = FakeCluster()
    for name in "ab":
        cluster.put(CONFIG_MAPS, config_map("default", name))
    cluster.fail_next(Unreachable("gone"), verb="get", resource=CONFIG_MAPS, key=A)
    assert await cluster.get(CONFIG_MAPS, B)
    with pytest.raises(Unreachable):
        await cluster.get(CONFIG_MAPS, A)
    assert await cluster.get(CONFIG_MAPS, A)


@pytest.mark.parametrize(("after", "stored"), [(False, 0), (True, 1)])
async def test_a_fault_hits_before_the_write_or_loses_its_answer(after: bool, stored: int) -> None:
    cluster = FakeCluster()
    cluster.fail_next(Unreachable("gone"), verb="apply", after=after)
    with pytest.raises(Unreachable):
        await cluster.apply(CONFIG_MAPS, config_map("default", "a"), manager="berth-operator")
    assert len(cluster.all_of(CONFIG_MAPS)) == stored


async def test_requests_are_noted_in_order_and_nothing_can_change_what_is_stored() -> None:
    cluster = FakeCluster()
    made = await cluster.create(CONFIG_MAPS, config_map("default", "a", x="1"))
    made["data"]["x"] = "changed behind its back"
    read = await cluster.get(CONFIG_MAPS, A)
    assert read["data"] == {"x": "1"}
    assert [(request.verb, request.key) for request in cluster.requests] == [("create", A), ("get", A)]
    assert [request.verb for request in cluster.writes] == ["create"]
