"""How far a start has come, and how seldom that is written."""

from datetime import timedelta
from typing import Any

import pytest
from operator_builders import (
    NOW,
    Json,
    World,
    a_pod,
    a_resolved_world,
    condition,
    ended,
    running,
    says,
    waiting,
)

from berth_api.model_status import Loading, StageTime
from berth_operator.facts import PodProgress
from berth_operator.progress import (
    FETCHING,
    LOADING,
    PULLING,
    SCHEDULING,
    SeenStages,
    Step,
    keep_loading,
    merge_stages,
    observe_loading,
    step_of,
)


def a_load(done: int, total: int = 1000, **more: Any) -> PodProgress:
    return PodProgress(loader={"stage": "Fetching", "bytesDone": done, "bytesTotal": total, **more})


def a_starting_world(pod: Json, progress: PodProgress | None = None, **known: Any) -> World:
    world = a_resolved_world(**known)
    pod["metadata"]["labels"]["berth.dev/revision"] = world.revision
    world.serve(0, pod)
    if progress is not None:
        world.progress["qwen-1"] = progress
    world.step()
    return world


@pytest.mark.parametrize(
    ("pod", "step"),
    [
        (a_pod(scheduled=False), SCHEDULING),
        (a_pod(), PULLING),
        (a_pod(fetch=waiting("PodInitializing")), PULLING),
        (a_pod(fetch=running()), FETCHING),
        (a_pod(fetch=ended(), engine=waiting("PodInitializing")), PULLING),
        (a_pod(fetch=ended(), engine=running()), LOADING),
        ({"metadata": {"name": "new"}}, SCHEDULING),
    ],
)
def test_each_step_of_a_start_is_seen_on_the_pod(pod: Json, step: Step) -> None:
    assert step_of(pod) is step


@pytest.mark.parametrize(
    ("pod", "reason", "stage"),
    [
        (a_pod(scheduled=False), "RollingOut", "Scheduling"),
        (a_pod(fetch=waiting("PodInitializing")), "PullingImage", "PullingImage"),
        (a_pod(fetch=running()), "Fetching", "Fetching"),
        (a_pod(fetch=ended(), engine=running()), "Loading", "Loading"),
    ],
)
def test_a_start_is_told_by_its_step(pod: Json, reason: str, stage: str) -> None:
    world = a_starting_world(pod)
    assert says(world.status, "Progressing") == ("True", reason)
    assert says(world.status, "Ready") == ("False", reason)
    assert world.status["loading"]["stage"] == stage


def test_a_fetch_is_told_in_figures() -> None:
    world = a_starting_world(a_pod(fetch=running()), a_load(450, secondsLeft=12.7))
    loading = world.status["loading"]
    assert (loading["percent"], loading["bytesDone"], loading["bytesTotal"]) == (45, 450, 1000)
    assert loading["secondsLeft"] == 12
    assert "40 % of 1.0 KiB" in condition(world.status, "Progressing")["message"]


@pytest.mark.parametrize("figures", [{}, {"bytesDone": -1}, {"bytesTotal": "many"}, {"bytesDone": True}])
def test_figures_that_are_none_are_left_out(figures: Json) -> None:
    seen = observe_loading(a_pod(fetch=running()), PodProgress(loader=figures))
    assert seen == Loading(stage="Fetching")


def test_more_than_all_is_all() -> None:
    assert observe_loading(a_pod(fetch=running()), a_load(2000)).percent == 100


def test_a_pod_that_moves_is_asked_again_soon_and_one_that_waits_is_not() -> None:
    assert a_starting_world(a_pod(fetch=running())).plan().again_after_seconds == 2
    assert a_starting_world(a_pod(fetch=ended(), engine=running())).plan().again_after_seconds == 2
    assert a_starting_world(a_pod(fetch=waiting("PodInitializing"))).plan().again_after_seconds is None
    assert a_starting_world(a_pod(scheduled="no node")).plan().again_after_seconds is None


SHOWN = Loading(stage="Fetching", percent=40, bytes_done=400, bytes_total=1000, time=NOW)


@pytest.mark.parametrize(
    ("seen", "seconds", "written"),
    [
        (Loading(stage="Fetching", percent=49, bytes_done=490, bytes_total=1000), 14, False),
        (Loading(stage="Fetching", percent=50, bytes_done=500, bytes_total=1000), 1, True),
        (Loading(stage="Fetching", percent=41, bytes_done=410, bytes_total=1000), 15, True),
        (Loading(stage="Loading"), 1, True),
        (Loading(stage="Fetching", percent=0, bytes_done=0, bytes_total=1000), 1, True),
        (Loading(stage="Fetching", percent=40, bytes_done=400, bytes_total=1000), 3600, False),
    ],
)
def test_progress_is_written_on_a_stage_ten_percent_or_fifteen_seconds(
    seen: Loading, seconds: int, written: bool
) -> None:
    kept = keep_loading(SHOWN, seen, NOW + timedelta(seconds=seconds))
    assert (kept != SHOWN) is written
    if written:
        assert kept.time == NOW + timedelta(seconds=seconds)


def test_a_fetch_of_minutes_is_written_a_few_times() -> None:
    world = a_starting_world(a_pod(fetch=running()), a_load(0))
    writes = 0
    for done in range(0, 1000, 5):
        world.progress["qwen-1"] = a_load(done)
        world.pass_seconds(0.5).step()
        writes += "status" in world.written
    assert 9 <= writes <= 20


def test_a_model_that_answers_shows_no_loading() -> None:
    world = a_starting_world(a_pod(fetch=running()), a_load(10))
    world.progress.clear()
    world.serve().settle()
    assert "loading" not in world.status


def test_the_stages_of_a_start_are_told_once_it_answers() -> None:
    world = a_resolved_world()
    fetch, engine = ended(at=NOW + timedelta(seconds=6), seconds=4), running(NOW + timedelta(seconds=7))
    world.serve(1, a_pod(revision=world.revision, fetch=fetch, engine=engine, ready=True)).step()
    took = {stage["name"]: stage["milliseconds"] for stage in world.status["stages"]}
    assert took == {"Resolved": 3000, "Scheduled": 2000, "ImagePulled": 3000, "Fetched": 4000, "Answered": 2000}


def test_the_runtimes_own_figures_are_finer_and_stay() -> None:
    world = a_resolved_world()
    pod = a_pod(revision=world.revision, fetch=ended(), engine=running(), ready=True)
    stages = [{"name": "Spawned", "milliseconds": 5}, {"name": "Loaded", "milliseconds": 812}, {"name": "Answered"}]
    stages[2]["milliseconds"] = 97
    world.progress["qwen-1"] = PodProgress(runtime={"models": [{"state": "Ready", "stages": stages}]})
    world.serve(1, pod).step()
    world.progress.clear()
    world.step()
    took = {stage["name"]: stage["milliseconds"] for stage in world.status["stages"]}
    assert (took["Loaded"], took["Answered"]) == (812, 97)
    assert world.written == ["unlabel qwen-1"] or world.written == []


@pytest.mark.parametrize("said", [None, 7, [], [7], [{"stages": 7}], [{"stages": [7, {"name": "Loaded"}]}]])
def test_stages_that_make_no_sense_are_none(said: Any) -> None:
    world = a_resolved_world()
    world.progress["qwen-1"] = PodProgress(runtime={"models": said})
    world.serve(1, a_pod(revision=world.revision, fetch=ended(), engine=running(), ready=True)).step()
    assert "Loaded" not in [stage["name"] for stage in world.status["stages"]]


def test_an_engine_that_restarted_does_not_change_how_long_its_image_took() -> None:
    world = a_resolved_world()
    world.serve(1, a_pod(revision=world.revision, fetch=ended(), engine=running(), ready=True)).step()
    later = running(NOW + timedelta(hours=1))
    world.serve(1, a_pod(revision=world.revision, fetch=ended(), engine=later, ready=True, restarts=1, loading=False))
    world.step()
    took = {stage["name"]: stage["milliseconds"] for stage in world.status["stages"]}
    assert took["ImagePulled"] == 0


def test_a_new_revision_begins_its_stages_anew() -> None:
    shown = [StageTime(name="Resolved", milliseconds=1), StageTime(name="Loaded", milliseconds=2)]
    kept = merge_stages(shown, SeenStages(), resolved=None, same_start=False)
    assert [stage.name for stage in kept] == ["Resolved"]
    assert len(merge_stages(shown, SeenStages(), resolved=None, same_start=True)) == 2
