"""What laptop mode does next, as rules. One Model named `a` is wanted, unless said otherwise."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_cli.laptop.plan import (
    Action,
    Failure,
    Forget,
    Observed,
    Plan,
    Prepare,
    Prepared,
    Replica,
    Retire,
    Stage,
    Start,
    Wanted,
    plan_up,
)

NOW = 1000.0
WANTED = Wanted("a", "inputs")
PREPARED = Prepared("inputs", "new", size_bytes=100)


def replica(number: int, stage: Stage, fingerprint: str = "new") -> Replica:
    return Replica(number, fingerprint, stage)


def unit(*replicas: Replica, prepared: Prepared | None = PREPARED, **known: object) -> Observed:
    return replace(Observed("a", prepared=prepared, replicas=replicas), **known)


def plan(observed: Observed | None, wanted: Wanted | None = WANTED, room_bytes: int | None = None) -> Plan:
    wishes = {"a": wanted} if wanted else {}
    return plan_up(wishes, {"a": observed} if observed else {}, NOW, room_bytes=room_bytes)


def kinds(actions: tuple[Action, ...]) -> list[str]:
    return [type(action).__name__ + (str(action.replica) if isinstance(action, Retire) else "") for action in actions]


def test_a_new_model_is_prepared() -> None:
    assert plan(None).actions == (Prepare("a"),)


def test_a_preparation_under_way_is_waited_for() -> None:
    assert plan(unit(prepared=None, preparing="inputs")) == Plan()


def test_a_prepared_model_is_started() -> None:
    assert plan(unit()).actions == (Start("a", "it is new"),)


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.READY])
def test_a_process_of_the_wanted_launch_is_kept(stage: Stage) -> None:
    assert plan(unit(replica(1, stage))) == Plan()


def test_an_edit_of_the_manifest_prepares_and_keeps_what_serves() -> None:
    assert plan(unit(replica(1, Stage.READY)), Wanted("a", "edited")).actions == (Prepare("a"),)


def test_the_same_launch_after_an_edit_keeps_the_process() -> None:
    assert plan(unit(replica(1, Stage.READY), prepared=Prepared("edited", "new")), Wanted("a", "edited")) == Plan()


def test_a_changed_launch_starts_the_new_before_the_old_leaves() -> None:
    assert kinds(plan(unit(replica(1, Stage.READY, "old"))).actions) == ["Start"]
    assert plan(unit(replica(1, Stage.READY, "old"), replica(2, Stage.STARTING))) == Plan()
    assert kinds(plan(unit(replica(1, Stage.READY, "old"), replica(2, Stage.READY))).actions) == ["Retire1"]


def test_an_old_process_that_never_answered_leaves_at_once() -> None:
    assert kinds(plan(unit(replica(1, Stage.STARTING, "old"))).actions) == ["Retire1", "Start"]


def test_a_new_process_that_fails_leaves_the_old_one_serving() -> None:
    failed = unit(replica(1, Stage.READY, "old"), start_failure=Failure("new", 1, NOW))
    assert plan(failed) == Plan(again_at=NOW + 1)


def test_an_edit_back_to_what_serves_drops_the_failing_one() -> None:
    back = unit(
        replica(1, Stage.READY, "old"),
        replica(2, Stage.STARTING, "new"),
        prepared=Prepared("inputs", "old"),
        start_failure=Failure("new", 3, NOW),
    )
    assert kinds(plan(back).actions) == ["Retire2"]


def test_without_memory_for_two_the_old_one_leaves_first() -> None:
    serving = unit(replica(1, Stage.READY, "old"))
    assert kinds(plan(serving, room_bytes=99).actions) == ["Retire1"]
    assert plan(unit(replica(1, Stage.DRAINING, "old")), room_bytes=99) == Plan()
    assert kinds(plan(unit(), room_bytes=99).actions) == ["Start"]
    assert kinds(plan(serving, room_bytes=100).actions) == ["Start"]


def test_a_process_that_ended_is_started_again_after_a_pause_that_doubles() -> None:
    pauses = [plan(unit(start_failure=Failure("new", count, NOW))).again_at for count in (1, 2, 3, 7, 50)]
    assert pauses == [NOW + seconds for seconds in (1, 2, 4, 60, 60)]
    assert kinds(plan(unit(start_failure=Failure("new", 2, NOW - 2))).actions) == ["Start"]


def test_the_failure_of_another_launch_delays_nothing() -> None:
    assert kinds(plan(unit(start_failure=Failure("old", 9, NOW))).actions) == ["Start"]


def test_a_preparation_that_may_succeed_later_is_tried_again() -> None:
    failed = unit(prepared=None, prepare_failure=Failure("inputs", 2, NOW))
    assert plan(failed) == Plan(again_at=NOW + 2)
    told = unit(prepared=None, prepare_failure=Failure("inputs", 1, NOW, retry_after_seconds=30))
    assert plan(told) == Plan(again_at=NOW + 30)
    assert plan(unit(prepared=None, prepare_failure=Failure("inputs", 1, NOW - 1))).actions == (Prepare("a"),)


def test_a_preparation_that_cannot_succeed_waits_for_an_edit() -> None:
    failed = unit(prepared=None, prepare_failure=Failure("inputs", 1, NOW - 1000, final=True))
    assert plan(failed) == Plan()
    assert plan(failed, Wanted("a", "edited")).actions == (Prepare("a"),)


def test_a_failed_preparation_keeps_what_serves() -> None:
    failure = Failure("edited", 1, NOW, final=True)
    assert plan(unit(replica(1, Stage.READY), prepare_failure=failure), Wanted("a", "edited")) == Plan()


def test_a_suspended_model_is_drained_and_not_prepared() -> None:
    suspended = Wanted("a", "inputs", suspended=True)
    assert kinds(plan(unit(replica(1, Stage.READY), replica(2, Stage.STARTING)), suspended).actions) == [
        "Retire1",
        "Retire2",
    ]
    assert plan(unit(prepared=None), suspended) == Plan()


def test_a_removed_model_is_drained_and_then_forgotten() -> None:
    assert kinds(plan(unit(replica(1, Stage.READY)), None).actions) == ["Retire1"]
    assert plan(unit(replica(1, Stage.DRAINING)), None) == Plan()
    assert plan(unit(), None).actions == (Forget("a"),)


def test_the_models_are_independent_of_each_other() -> None:
    observed = {"a": unit(replica(1, Stage.READY)), "gone": Observed("gone")}
    wanted = {"a": WANTED, "b": Wanted("b", "x"), "c": Wanted("c", "y")}
    observed["c"] = Observed("c", prepare_failure=Failure("y", 1, NOW))
    assert plan_up(wanted, observed, NOW) == Plan((Forget("gone"), Prepare("b")), again_at=NOW + 1)


REPLICAS = st.lists(
    st.builds(Replica, st.integers(1, 5), st.sampled_from(["old", "new"]), st.sampled_from(list(Stage))),
    max_size=4,
    unique_by=lambda one: one.id,
).map(tuple)


@given(
    REPLICAS, st.none() | st.integers(0, 200), st.none() | st.builds(Failure, st.just("new"), st.just(1), st.just(NOW))
)
def test_nothing_that_serves_is_taken_away_before_another_answers_unless_memory_forbids(
    replicas: tuple[Replica, ...], room_bytes: int | None, failure: Failure | None
) -> None:
    planned = plan(unit(*replicas, start_failure=failure), room_bytes=room_bytes)
    retired = {action.replica for action in planned.actions if isinstance(action, Retire)}
    serving = {one.id for one in replicas if one.stage is Stage.READY}
    new_ready = any(one.stage is Stage.READY and one.fingerprint == "new" for one in replicas)
    memory_forbids = room_bytes is not None and room_bytes < PREPARED.size_bytes
    assert new_ready or memory_forbids or not retired & serving
    assert sum(isinstance(action, Start) for action in planned.actions) <= 1
    assert all(one.stage in {Stage.STARTING, Stage.READY} for one in replicas if one.id in retired)
