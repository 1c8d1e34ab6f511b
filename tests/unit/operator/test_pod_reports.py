"""Whom the operator asks how far a start is, and how often."""

from datetime import timedelta
from typing import Any

import pytest
from operator_parts import NOW, QWEN, Answers, Clock, a_pod

from berth_operator.facts import PodProgress
from berth_operator.pod_reports import FRESH_SECONDS, MOST_ASKED, PodReports

LOADER = "http://10.0.0.1:8001/progress"
RUNTIME = "http://10.0.0.1:8000/status"
FETCHING = {"stage": "Fetching", "bytesDone": 1}
LOADING = {"models": [{"state": "loading"}]}


def running(name: str) -> list[dict[str, Any]]:
    return [{"name": name, "state": {"running": {}}}]


def fetching() -> dict[str, Any]:
    return a_pod(initContainerStatuses=running("fetch"))


def loading(**more: Any) -> dict[str, Any]:
    return a_pod(containerStatuses=running("engine"), **more)


def ready(ago: timedelta) -> dict[str, Any]:
    since = (NOW - ago).isoformat().replace("+00:00", "Z")
    return loading(conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": since}])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answers() -> Answers:
    return Answers({LOADER: FETCHING, RUNTIME: LOADING})


@pytest.fixture
def reports(answers: Answers, clock: Clock) -> PodReports:
    return PodReports(answers, clock)


async def test_the_loader_is_asked_while_it_fetches(reports: PodReports, answers: Answers) -> None:
    assert await reports.read(QWEN, [fetching()], NOW) == {"qwen-1": PodProgress(loader=FETCHING)}
    assert answers.asked == [LOADER]


async def test_the_runtime_is_asked_while_it_loads_and_the_loader_s_last_word_stays(reports: PodReports) -> None:
    await reports.read(QWEN, [fetching()], NOW)
    assert await reports.read(QWEN, [loading()], NOW) == {"qwen-1": PodProgress(loader=FETCHING, runtime=LOADING)}


async def test_a_pod_that_waits_for_a_node_is_not_asked(reports: PodReports, answers: Answers) -> None:
    assert await reports.read(QWEN, [a_pod(podIP="")], NOW) == {}
    assert answers.asked == []


async def test_of_hundreds_of_pods_a_few_are_asked_at_once_and_the_others_in_their_turn(
    reports: PodReports, answers: Answers
) -> None:
    pods = [a_pod(f"qwen-{number:03}", containerStatuses=running("engine")) for number in range(100)]
    assert len(await reports.read(QWEN, pods, NOW)) == len(answers.asked) == MOST_ASKED
    assert len(await reports.read(QWEN, pods, NOW)) == len(answers.asked) == 2 * MOST_ASKED


async def test_a_pod_that_leaves_is_not_asked(reports: PodReports, answers: Answers) -> None:
    pod = loading()
    pod["metadata"]["deletionTimestamp"] = "2026-11-26T12:00:00Z"
    await reports.read(QWEN, [pod], NOW)
    assert answers.asked == []


async def test_a_burst_of_events_asks_once(reports: PodReports, answers: Answers, clock: Clock) -> None:
    for _ in range(5):
        assert await reports.read(QWEN, [loading()], NOW)
    assert answers.asked == [RUNTIME]
    clock.pass_seconds(FRESH_SECONDS)
    await reports.read(QWEN, [loading()], NOW)
    assert answers.asked == [RUNTIME] * 2


async def test_a_pod_that_has_just_become_ready_is_asked_once_more(
    reports: PodReports, answers: Answers, clock: Clock
) -> None:
    await reports.read(QWEN, [loading()], NOW)
    for _ in range(3):
        await reports.read(QWEN, [ready(timedelta(seconds=1))], NOW)
        clock.pass_seconds(60)
    assert answers.asked == [RUNTIME] * 2


async def test_a_pod_that_has_been_ready_for_long_is_left_alone(reports: PodReports, answers: Answers) -> None:
    assert await reports.read(QWEN, [ready(timedelta(hours=1))], NOW) == {}
    assert answers.asked == []


async def test_a_pod_that_does_not_answer_keeps_what_it_said_before(
    reports: PodReports, answers: Answers, clock: Clock
) -> None:
    await reports.read(QWEN, [fetching()], NOW)
    answers.table.clear()
    clock.pass_seconds(10)
    assert await reports.read(QWEN, [fetching()], NOW) == {"qwen-1": PodProgress(loader=FETCHING)}


async def test_what_was_heard_of_pods_that_are_gone_is_forgotten(reports: PodReports) -> None:
    await reports.read(QWEN, [loading()], NOW)
    assert await reports.read(QWEN, [], NOW) == {}
    reports.forget(QWEN)


async def test_addresses_of_version_six_stand_in_brackets(reports: PodReports, answers: Answers) -> None:
    await reports.read(QWEN, [loading(podIP="fd00::1")], NOW)
    assert answers.asked == ["http://[fd00::1]:8000/status"]
