"""Carrying out a plan: only what is needed is written, and what fails is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from fake_cluster import FakeCluster
from operator_parts import QWEN, QWEN_MODEL, NoLimit, a_child, a_pod, needs_apply, put_model

from berth_kube.errors import (
    ClusterError,
    Conflict,
    FieldFault,
    Forbidden,
    NamespaceTerminating,
    NotFound,
    Overloaded,
    Rejected,
    Unauthorized,
    Unreachable,
)
from berth_kube.resources import DEPLOYMENTS, JOBS, PODS, SERVICES, Key, Object
from berth_operator.attempts import ChildRef, ref_of
from berth_operator.execute import Executor, Writes
from berth_operator.metrics import OperatorMetrics
from berth_operator.plan import Apply, Delete, Notice, Plan, Unlabel
from berth_operator.subject import MODELS
from berth_operator.write import NotLeading, Writer

REFUSED = Rejected("bad image", status=422, fields=(FieldFault("spec.template", "bad"),))


@dataclass
class Scene:
    """A cluster with one Model, and an executor whose Lease ends when a test says so."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    lease_seconds: float = 15.0
    told: list[tuple[str, str]] = field(default_factory=list)
    learnt: list[Object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.document = put_model(self.cluster)
        writer = Writer(rate=NoLimit(), at_once=8, deadline=lambda: self.lease_seconds, metrics=OperatorMetrics())
        self.executor = Executor(
            self.cluster,
            writer,
            needs_apply,
            lambda _, type_, reason, message: self.told.append((type_, reason)),
            lambda _, document: self.learnt.append(document),
        )

    def child(self, wish: str = "1", name: str = "qwen-engine") -> dict[str, object]:
        return a_child(self.document, wish=wish, name=name)

    async def write(
        self, *bodies: Object, found: Mapping[ChildRef, Object] | None = None, generation: int = 1
    ) -> Writes:
        plan = Plan(writes=tuple(Apply(DEPLOYMENTS, body) for body in bodies))
        return await self.carry_out(plan, found=found, generation=generation)

    async def carry_out(
        self, plan: Plan, *, found: Mapping[ChildRef, Object] | None = None, generation: int = 1
    ) -> Writes:
        return await self.executor.write_children(QWEN_MODEL, generation, plan, found or {})

    def verbs(self) -> list[str]:
        return [request.verb for request in self.cluster.writes]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_is_already_so_is_not_written(scene: Scene) -> None:
    body = scene.child()
    writes = await scene.write(body, found={ref_of(body): body})
    assert scene.verbs() == []
    assert (writes.failures, writes.trouble) == ({}, None)


async def test_writes_go_out_in_the_order_of_the_plan(scene: Scene) -> None:
    await scene.write(scene.child(name="b"), scene.child(name="a"))
    assert [request.key for request in scene.cluster.writes] == [Key("default", "b"), Key("default", "a")]


async def test_a_refused_child_names_itself_and_keeps_back_what_rests_on_it(scene: Scene) -> None:
    scene.cluster.fail_next(REFUSED, verb="apply")
    for _ in range(2):
        writes = await scene.write(scene.child(name="bad"), scene.child(name="later"))
        assert writes.failures == {("Deployment", "bad"): REFUSED}
        assert writes.trouble is None
        assert scene.cluster.all_of(DEPLOYMENTS) == []


async def test_a_refused_child_is_not_tried_again_until_the_wish_changes(scene: Scene) -> None:
    scene.cluster.fail_next(REFUSED, verb="apply")
    await scene.write(scene.child("1"))
    writes = await scene.write(scene.child("1"))
    assert scene.verbs() == ["apply"]
    assert writes.failures == {("Deployment", "qwen-engine"): REFUSED}
    writes = await scene.write(scene.child("2"), generation=2)
    assert scene.verbs() == ["apply", "apply"]
    assert writes.failures == {}


async def test_a_refused_child_is_tried_again_where_what_is_there_has_changed(scene: Scene) -> None:
    old = scene.cluster.put(DEPLOYMENTS, scene.child("0"))
    scene.cluster.fail_next(REFUSED, verb="apply")
    await scene.write(scene.child("1"), found={ref_of(old): old})
    assert (await scene.write(scene.child("1"))).failures == {}


@pytest.mark.parametrize("error", [Unreachable("gone"), Overloaded("busy"), Unauthorized("who?")])
async def test_a_server_that_is_in_trouble_gets_no_more_of_this_plan(scene: Scene, error: ClusterError) -> None:
    scene.cluster.fail_next(error, verb="apply")
    writes = await scene.write(scene.child(name="a"), scene.child(name="b"))
    assert writes.trouble is error
    assert scene.verbs() == ["apply"]


@pytest.mark.parametrize("error", [Forbidden("quota", quota=True), Conflict("another manager"), NotFound("namespace")])
async def test_what_may_be_repaired_without_an_edit_is_trouble_and_a_failure(scene: Scene, error: ClusterError) -> None:
    scene.cluster.fail_next(error, verb="apply")
    writes = await scene.write(scene.child(name="a"), scene.child(name="b"))
    assert writes.trouble is error
    assert writes.failures == {("Deployment", "a"): error}
    assert scene.cluster.all_of(DEPLOYMENTS) == []


async def test_a_namespace_that_goes_is_nobody_s_trouble_and_gets_no_more_of_this_plan(scene: Scene) -> None:
    scene.cluster.fail_next(NamespaceTerminating("team is being terminated"), verb="apply")
    writes = await scene.write(scene.child(name="a"), scene.child(name="b"))
    assert (writes.failures, writes.trouble) == ({}, None)
    assert scene.verbs() == ["apply"]


async def test_a_failure_is_forgotten_once_the_child_is_as_it_should_be(scene: Scene) -> None:
    scene.cluster.fail_next(Forbidden("quota"), verb="apply")
    await scene.write(scene.child())
    assert (await scene.write(scene.child())).failures == {}


async def test_a_failure_of_a_child_that_an_edit_made_needless_is_forgotten(scene: Scene) -> None:
    scene.cluster.fail_next(REFUSED, verb="apply")
    await scene.write(scene.child(name="old"), generation=1)
    assert set((await scene.write(scene.child(name="new"), generation=1)).failures) == {("Deployment", "old")}
    assert (await scene.write(scene.child(name="new"), generation=2)).failures == {}


async def test_a_deletion_means_exactly_one_object(scene: Scene) -> None:
    job = scene.cluster.put(JOBS, a_child(scene.document, resource=JOBS, name="qwen-resolve"))
    key = Key("default", "qwen-resolve")
    writes = await scene.carry_out(Plan(deletes=(Delete(JOBS, key, "another"),)))
    assert writes.trouble is None
    assert len(scene.cluster.all_of(JOBS)) == 1
    await scene.carry_out(Plan(deletes=(Delete(JOBS, key, job["metadata"]["uid"]),)))
    assert scene.cluster.all_of(JOBS) == []


async def test_one_label_is_taken_from_exactly_one_pod(scene: Scene) -> None:
    pod = a_pod()
    pod["metadata"]["labels"] = {"berth.dev/loading": "", "stays": "yes"}
    uid = scene.cluster.put(PODS, pod)["metadata"]["uid"]
    key = Key("default", "qwen-1")
    for wrong_or_right in ("another", uid):
        writes = await scene.carry_out(Plan(unlabels=(Unlabel(key, wrong_or_right, "berth.dev/loading"),)))
        assert writes.trouble is None
    assert (await scene.cluster.get(PODS, key))["metadata"]["labels"] == {"stays": "yes"}


async def test_a_pod_that_is_gone_needs_no_label_taken(scene: Scene) -> None:
    plan = Plan(unlabels=(Unlabel(Key("default", "gone"), "uid", "berth.dev/loading"),))
    assert (await scene.carry_out(plan)).trouble is None


async def test_a_status_is_written_only_where_it_differs(scene: Scene) -> None:
    plan = Plan(status={"replicas": 1})
    assert await scene.executor.write_status(QWEN_MODEL, scene.document, plan)
    shown = await scene.cluster.get(MODELS, QWEN)
    assert shown["status"] == {"replicas": 1}
    assert not await scene.executor.write_status(QWEN_MODEL, shown, plan)
    assert scene.verbs() == ["apply_status"]


async def test_what_was_written_is_known_before_any_watch_tells(scene: Scene) -> None:
    await scene.executor.write_status(QWEN_MODEL, scene.document, Plan(status={"replicas": 1}))
    (learnt,) = scene.learnt
    assert learnt["metadata"]["resourceVersion"] > scene.document["metadata"]["resourceVersion"]
    assert not await scene.executor.write_status(QWEN_MODEL, learnt, Plan(status={"replicas": 1}))


async def test_no_status_in_the_plan_leaves_the_status(scene: Scene) -> None:
    assert not await scene.executor.write_status(QWEN_MODEL, scene.document, Plan())
    assert scene.verbs() == []


async def test_a_status_of_what_was_read_does_not_land_on_a_newer_spec(scene: Scene) -> None:
    put_model(scene.cluster, replicas=2)
    with pytest.raises(Conflict):
        await scene.executor.write_status(QWEN_MODEL, scene.document, Plan(status={"replicas": 1}))


async def test_the_status_of_what_was_deleted_is_nobody_s_trouble(scene: Scene) -> None:
    scene.cluster.remove(MODELS, QWEN)
    assert not await scene.executor.write_status(QWEN_MODEL, scene.document, Plan(status={"replicas": 1}))


async def test_notices_are_told(scene: Scene) -> None:
    await scene.executor.write_status(QWEN_MODEL, scene.document, Plan(notices=(Notice("Normal", "Resolved", "…"),)))
    assert scene.told == [("Normal", "Resolved")]


async def test_what_could_not_be_shown_in_the_status_is_not_told_either(scene: Scene) -> None:
    put_model(scene.cluster, replicas=2)
    plan = Plan(status={"replicas": 1}, notices=(Notice("Normal", "Resolved", "…"),))
    with pytest.raises(Conflict):
        await scene.executor.write_status(QWEN_MODEL, scene.document, plan)
    assert scene.told == []


async def test_the_first_trouble_of_a_plan_is_the_one_to_tell_of(scene: Scene) -> None:
    first = Forbidden("first")
    scene.cluster.fail_next(first, verb="apply")
    scene.cluster.fail_next(Unreachable("second"), verb="apply")
    assert (await scene.write(scene.child(name="a"), scene.child(name="b"))).trouble is first


async def test_nothing_is_written_once_the_lease_has_ended(scene: Scene) -> None:
    scene.lease_seconds = 0
    with pytest.raises(NotLeading):
        await scene.write(scene.child())
    assert scene.verbs() == []
    assert scene.executor.failures.of(QWEN_MODEL) == {}


async def test_the_rest_of_a_plan_is_carried_out_after_a_refused_child(scene: Scene) -> None:
    job = scene.cluster.put(JOBS, a_child(scene.document, resource=JOBS, name="old"))
    scene.cluster.fail_next(REFUSED, verb="apply")
    service = Apply(SERVICES, a_child(scene.document, resource=SERVICES))
    await scene.carry_out(
        Plan(writes=(service,), deletes=(Delete(JOBS, Key("default", "old"), job["metadata"]["uid"]),))
    )
    assert scene.cluster.all_of(JOBS) == []
