"""The life of a model: what happened goes in, where it stands and when to try again comes out."""

import pytest

from berth_runtime.supervision import Cause, Life, State, after_answer, after_failure, after_restart, delay_seconds

CRASH = Cause("it crashed")
DAMAGED = Cause("the file is damaged", permanent=True)


def test_a_model_loads_then_answers_and_is_ready() -> None:
    life = after_answer(Life(), now=10)
    assert (life.state, life.message, life.again_after_seconds) == (State.READY, "", None)


def test_a_damaged_file_has_failed_and_is_not_tried_again() -> None:
    life = after_failure(Life(), DAMAGED, now=1)
    assert (life.state, life.message, life.again_after_seconds) == (State.FAILED, "the file is damaged", None)


def test_a_crash_while_loading_has_failed_and_is_tried_again() -> None:
    life = after_failure(Life(), CRASH, now=1)
    assert (life.state, life.again_after_seconds) == (State.FAILED, 0.5)


def test_a_ready_model_that_dies_restarts_whatever_the_cause() -> None:
    ready = after_answer(Life(), now=10)
    for cause in (CRASH, DAMAGED):
        life = after_failure(ready, cause, now=11)
        assert (life.state, life.again_after_seconds) == (State.RESTARTING, 0.5)


def test_who_answered_once_is_always_tried_again() -> None:
    away = after_failure(after_restart(after_failure(after_answer(Life(), now=10), CRASH, now=11)), DAMAGED, now=12)
    assert (away.state, away.again_after_seconds) == (State.FAILED, 1)


def test_the_reason_stays_until_the_next_answer() -> None:
    life = after_restart(after_failure(after_answer(Life(), now=10), CRASH, now=11))
    assert (life.state, life.message, life.restarts) == (State.RESTARTING, "it crashed", 1)
    assert after_answer(life, now=12).message == ""


def test_the_wait_doubles_up_to_half_a_minute() -> None:
    life, waits = Life(), []
    for _ in range(8):
        life = after_restart(after_failure(life, CRASH, now=0))
        waits.append(delay_seconds(life.failures))
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_who_was_steady_starts_anew_and_who_was_not_does_not() -> None:
    unsteady = after_answer(after_failure(after_failure(Life(), CRASH, now=0), CRASH, now=0), now=0)
    assert after_failure(unsteady, CRASH, now=59).again_after_seconds == 2
    assert after_failure(unsteady, CRASH, now=60).again_after_seconds == 0.5


@pytest.mark.parametrize("failures", [1, 100, 10_000])
def test_the_wait_is_bounded(failures: int) -> None:
    assert 0.5 <= delay_seconds(failures) <= 30
