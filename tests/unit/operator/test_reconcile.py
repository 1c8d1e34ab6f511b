"""One reconcile: observe, plan, execute, with everything real but the API server, the pods and the plans."""

from dataclasses import replace

import pytest
from fake_cluster import FakeCluster
from operator_parts import (
    NOW,
    QWEN,
    QWEN_MODEL,
    Answers,
    Clock,
    HandPlanner,
    NoLimit,
    a_child,
    needs_apply,
    plan_deployment,
    put_model,
    put_route,
)

from berth_kube.errors import Conflict, FieldFault, Forbidden, Rejected, Unreachable
from berth_kube.resources import DEPLOYMENTS, Key, Object
from berth_operator.caches import Caches, Wake
from berth_operator.declared import Declared
from berth_operator.execute import Executor
from berth_operator.facts import ModelFacts
from berth_operator.gateway_reports import GatewayReports
from berth_operator.metrics import OperatorMetrics
from berth_operator.observe import Observer
from berth_operator.plan import Plan
from berth_operator.pod_reports import PodReports
from berth_operator.reconcile import UNCACHED_SECONDS, Reconciler
from berth_operator.settings import Images, OperatorSettings
from berth_operator.subject import MODELS, Kind, Subject
from berth_operator.write import Writer

SETTINGS = OperatorSettings(namespace="berth-system", images=Images(fetch="fetch", cpu="cpu"))
ENGINE = Key("default", "qwen-engine")


class Scene:
    """Caches stay empty here: what a reconcile needs of children it has to ask for."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.declared = Declared()
        self.planner = HandPlanner()
        clock, answers = Clock(), Answers()
        caches = Caches(self.cluster, SETTINGS, Wake(lambda _: None, lambda: None, lambda: None), clock)
        writer = Writer(rate=NoLimit(), at_once=8, deadline=lambda: 15, metrics=OperatorMetrics())
        executor = Executor(self.cluster, writer, needs_apply, lambda *_: None, self.declared.put)
        observer = Observer(
            self.cluster,
            self.declared,
            caches,
            pods=PodReports(answers, clock),
            gateways=GatewayReports(caches.gateway_pods, answers, clock),
            failures=executor.failures,
        )
        self.reconciler = Reconciler(observer, self.planner, executor, lambda: NOW)

    def deliver(self, document: Object) -> None:
        self.declared.put(Kind.MODEL, document)

    async def deliver_newest(self) -> None:
        self.deliver(await self.cluster.get(MODELS, QWEN))

    def verbs(self) -> list[str]:
        return [request.verb for request in self.cluster.writes]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_new_model_gets_its_children_and_then_its_status(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    outcome = await scene.reconciler.reconcile(QWEN_MODEL)
    assert scene.verbs() == ["apply", "apply_status"]
    assert (outcome.trouble, outcome.refused) == (None, False)
    assert (await scene.cluster.get(MODELS, QWEN))["status"] == {"failed": []}


async def test_a_second_reconcile_writes_nothing(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    await scene.reconciler.reconcile(QWEN_MODEL)
    await scene.deliver_newest()
    written = len(scene.cluster.writes)
    await scene.reconciler.reconcile(QWEN_MODEL)
    assert len(scene.cluster.writes) == written


async def test_a_plan_knows_what_stands_at_the_names_that_it_writes_to(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    foreign = scene.cluster.put(DEPLOYMENTS, {"metadata": {"name": ENGINE.name, "namespace": ENGINE.namespace}})

    def plan(facts: ModelFacts) -> Plan:
        taken = ("Deployment", ENGINE.name) in facts.children
        return Plan(status={"taken": True}) if taken else plan_deployment(facts)

    scene.planner.plan_model = plan
    outcome = await scene.reconciler.reconcile(QWEN_MODEL)
    assert (await scene.cluster.get(MODELS, QWEN))["status"] == {"taken": True}
    assert await scene.cluster.get(DEPLOYMENTS, ENGINE) == foreign
    assert outcome.again_after_seconds == UNCACHED_SECONDS


async def test_a_refused_child_stands_in_the_status_of_the_same_reconcile(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    scene.cluster.fail_next(Rejected("no", fields=(FieldFault("spec.x", "no"),)), verb="apply")
    outcome = await scene.reconciler.reconcile(QWEN_MODEL)
    assert (await scene.cluster.get(MODELS, QWEN))["status"] == {"failed": ["Deployment/qwen-engine"]}
    assert outcome.refused
    assert outcome.trouble is None


async def test_a_repaired_spec_is_applied_and_takes_the_failure_back(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    scene.cluster.fail_next(Rejected("no"), verb="apply")
    await scene.reconciler.reconcile(QWEN_MODEL)
    scene.deliver(put_model(scene.cluster, replicas=2))
    await scene.reconciler.reconcile(QWEN_MODEL)
    assert (await scene.cluster.get(MODELS, QWEN))["status"] == {"failed": []}


async def test_a_quota_stands_in_the_status_and_is_tried_again(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    scene.cluster.fail_next(Forbidden("quota", quota=True), verb="apply")
    outcome = await scene.reconciler.reconcile(QWEN_MODEL)
    assert isinstance(outcome.trouble, Forbidden)
    assert (await scene.cluster.get(MODELS, QWEN))["status"] == {"failed": ["Deployment/qwen-engine"]}


async def test_an_api_server_that_is_away_is_told_by_the_first_error(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    first = Unreachable("the first")
    scene.cluster.fail_next(first, verb="apply")
    scene.cluster.fail_next(Unreachable("the second"), verb="apply_status")
    with pytest.raises(Unreachable, match="the first"):
        await scene.reconciler.reconcile(QWEN_MODEL)


async def test_an_answer_that_was_lost_is_found_by_the_next_reconcile(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    scene.cluster.fail_next(Unreachable("lost"), verb="apply", after=True)
    await scene.reconciler.reconcile(QWEN_MODEL)
    await scene.deliver_newest()
    await scene.reconciler.reconcile(QWEN_MODEL)
    assert scene.verbs().count("apply") == 1
    assert (await scene.cluster.get(MODELS, QWEN))["status"] == {"failed": []}


async def test_an_edit_during_a_reconcile_is_not_answered_with_an_old_status(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    put_model(scene.cluster, replicas=2)
    with pytest.raises(Conflict):
        await scene.reconciler.reconcile(QWEN_MODEL)
    assert "status" not in await scene.cluster.get(MODELS, QWEN)


async def test_a_model_that_is_gone_is_left_alone(scene: Scene) -> None:
    await scene.reconciler.reconcile(QWEN_MODEL)
    assert scene.cluster.requests == []


async def test_a_model_that_is_about_to_go_gets_no_new_children(scene: Scene) -> None:
    document = put_model(scene.cluster)
    scene.deliver({**document, "metadata": {**document["metadata"], "deletionTimestamp": "2026-11-26T12:00:00Z"}})
    await scene.reconciler.reconcile(QWEN_MODEL)
    assert scene.cluster.requests == []


async def test_the_plan_s_wish_for_another_reconcile_is_handed_on(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    scene.planner.plan_model = lambda facts: replace(plan_deployment(facts), again_after_seconds=7)
    assert (await scene.reconciler.reconcile(QWEN_MODEL)).again_after_seconds == 7


async def test_a_child_of_ours_that_lost_its_labels_is_known_all_the_same(scene: Scene) -> None:
    document = put_model(scene.cluster)
    scene.deliver(document)
    scene.cluster.put(DEPLOYMENTS, a_child(document, wish="1"))
    await scene.reconciler.reconcile(QWEN_MODEL)
    assert scene.verbs() == ["apply_status"]


async def test_a_route_gets_its_status_from_its_models(scene: Scene) -> None:
    scene.deliver(put_model(scene.cluster))
    scene.declared.put(Kind.ROUTE, put_route(scene.cluster))
    scene.planner.plan_route = lambda facts: Plan(status={"models": sorted(facts.models)}, again_after_seconds=2)
    subject = Subject(Kind.ROUTE, Key("default", "chat"))
    outcome = await scene.reconciler.reconcile(subject)
    assert outcome.again_after_seconds == 2
    assert (await scene.cluster.get(Kind.ROUTE.resource, subject.key))["status"] == {"models": ["default/qwen"]}


async def test_a_route_that_is_gone_is_left_alone(scene: Scene) -> None:
    await scene.reconciler.reconcile(Subject(Kind.ROUTE, Key("default", "chat")))
    assert scene.cluster.requests == []
