"""The audit finds what intake missed: objects that vanished, and versions that never came."""

import asyncio

import pytest
from fake_cluster import FakeCluster
from operator_parts import QWEN, QWEN_MODEL, Clock, put_model, put_route

from berth_kube.errors import NotFound, Unreachable
from berth_kube.resources import Key, Object
from berth_operator.audit import AUDIT_SECONDS, FIRST_LIST_SECONDS, IntakeAudit, IntakeBlind, KindMissing
from berth_operator.declared import Declared
from berth_operator.subject import MODEL_ROUTES, MODELS, Kind, Subject


class Scene:
    """A cluster, what was delivered of it, and an audit whose minutes pass in no time."""

    def __init__(self, *namespaces: str) -> None:
        self.cluster = FakeCluster()
        self.declared = Declared()
        self.clock = Clock()
        self.dropped: list[Subject] = []
        self.audit = IntakeAudit(
            self.cluster, self.declared, namespaces, self.drop, clock=self.clock, sleep=self.clock.sleep
        )

    def drop(self, kind: Kind, document: Object) -> None:
        self.dropped.append(Subject(kind, Key(document["metadata"]["namespace"], document["metadata"]["name"])))
        self.declared.drop(kind, document)

    async def look(self) -> None:
        """One comparison, as each minute brings."""
        await self.audit.look()


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_was_delivered_is_no_trouble(scene: Scene) -> None:
    scene.declared.put(Kind.MODEL, put_model(scene.cluster))
    scene.declared.put(Kind.ROUTE, put_route(scene.cluster))
    for _ in range(3):
        await scene.look()
        scene.clock.pass_seconds(AUDIT_SECONDS)
    assert scene.dropped == []


async def test_what_vanished_unseen_is_swept(scene: Scene) -> None:
    scene.declared.put(Kind.MODEL, put_model(scene.cluster))
    scene.cluster.remove_silently(MODELS, QWEN)
    await scene.look()
    assert scene.dropped == [QWEN_MODEL]
    assert len(scene.declared) == 0


async def test_what_came_in_while_the_list_was_made_is_not_swept(scene: Scene) -> None:
    put_model(scene.cluster)
    look = asyncio.create_task(scene.look())
    await asyncio.sleep(0)  # the list is on its way
    scene.declared.put(Kind.MODEL, put_model(scene.cluster, "phi"))
    await look
    assert scene.dropped == []


async def test_a_version_that_is_missing_for_a_minute_means_that_intake_is_blind(scene: Scene) -> None:
    put_model(scene.cluster)
    await scene.look()
    scene.clock.pass_seconds(AUDIT_SECONDS)
    with pytest.raises(IntakeBlind, match="Model default/qwen"):
        await scene.look()


async def test_an_edit_that_is_missing_for_a_minute_counts_too(scene: Scene) -> None:
    scene.declared.put(Kind.MODEL, put_model(scene.cluster))
    put_model(scene.cluster, replicas=3)
    await scene.look()
    scene.clock.pass_seconds(AUDIT_SECONDS)
    with pytest.raises(IntakeBlind):
        await scene.look()


async def test_an_object_that_changes_all_the_time_is_not_taken_for_a_blind_intake(scene: Scene) -> None:
    scene.declared.put(Kind.MODEL, put_model(scene.cluster, replicas=1))
    for replicas in range(2, 8):
        newer = put_model(scene.cluster, replicas=replicas)
        await scene.look()  # each time the newest version is still on its way
        scene.declared.put(Kind.MODEL, newer)
        scene.clock.pass_seconds(AUDIT_SECONDS)


async def test_what_was_missing_and_has_vanished_is_forgotten(scene: Scene) -> None:
    put_model(scene.cluster)
    await scene.look()
    scene.cluster.remove(MODELS, QWEN)
    for _ in range(3):
        scene.clock.pass_seconds(AUDIT_SECONDS)
        await scene.look()


async def test_a_cluster_that_was_restored_from_a_backup_means_a_new_start(scene: Scene) -> None:
    document = put_model(scene.cluster)
    later = {**document, "metadata": {**document["metadata"], "resourceVersion": "1000"}}
    scene.declared.put(Kind.MODEL, later)
    with pytest.raises(IntakeBlind, match="restore"):
        await scene.look()


async def test_kinds_that_are_not_installed_end_the_process_with_a_remedy(scene: Scene) -> None:
    scene.cluster.fail_next(NotFound("the server could not find the requested resource"), resource=MODEL_ROUTES)
    with pytest.raises(KindMissing, match="apply the chart's CRDs"):
        await scene.audit.wait_for_kinds()


async def test_an_api_server_that_does_not_answer_is_waited_for(scene: Scene) -> None:
    scene.cluster.fail_next(Unreachable("gone"), verb="list_page", times=5)
    await scene.audit.wait_for_kinds()


async def test_intake_is_complete_once_everything_listed_was_delivered(scene: Scene) -> None:
    document = put_model(scene.cluster)
    polls = 0

    async def sleep(_: float) -> None:
        nonlocal polls
        polls += 1
        assert not scene.audit.completed.is_set()
        if polls == 3:
            scene.declared.put(Kind.MODEL, document)

    scene.audit = IntakeAudit(scene.cluster, scene.declared, (), scene.drop, clock=scene.clock, sleep=sleep)
    await scene.audit.complete()
    assert scene.audit.completed.is_set()
    assert polls == 3


async def test_a_first_list_may_take_longer_than_a_change_and_not_for_ever(scene: Scene) -> None:
    put_model(scene.cluster)
    started = scene.clock.seconds
    with pytest.raises(IntakeBlind):
        await scene.audit.complete()
    assert scene.clock.seconds - started >= FIRST_LIST_SECONDS


async def test_an_empty_cluster_is_complete_at_once(scene: Scene) -> None:
    await scene.audit.complete()
    assert scene.audit.completed.is_set()


async def test_only_watched_namespaces_are_listed_and_swept() -> None:
    scene = Scene("team-a")
    put_model(scene.cluster)  # in another namespace, and never delivered
    await scene.look()
    scene.clock.pass_seconds(AUDIT_SECONDS)
    await scene.look()
    assert scene.dropped == []
