"""Conditions: what is kept, what is overwritten, and when a Model is Ready."""

from datetime import UTC, datetime, timedelta

import pytest

from berth_api.conditions import (
    MESSAGE_MAX,
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    accepted_condition,
    find_condition,
    merge_conditions,
    ready_condition,
)
from berth_api.errors import FieldError

T0 = datetime(2026, 1, 1, tzinfo=UTC)
T1 = T0 + timedelta(minutes=1)
TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def a_condition(
    kind: ConditionType, status: ConditionStatus = TRUE, reason: str = "", message: str = "", generation: int | None = 1
) -> Condition:
    return Condition(type=kind, status=status, reason=reason or kind, message=message, observed_generation=generation)


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    before = merge_conditions((), [a_condition(ConditionType.RESOLVED, FALSE, Reason.RESOLVING)], T0)
    (after,) = merge_conditions(before, [a_condition(ConditionType.RESOLVED, FALSE, Reason.SOURCE_NOT_FOUND)], T1)
    assert after.last_transition_time == T0
    assert after.reason == Reason.SOURCE_NOT_FOUND


def test_a_condition_whose_status_changes_gets_a_new_time() -> None:
    before = merge_conditions((), [a_condition(ConditionType.RESOLVED, FALSE)], T0)
    (after,) = merge_conditions(before, [a_condition(ConditionType.RESOLVED, TRUE)], T1)
    assert after.last_transition_time == T1


def test_the_generation_is_set_on_what_is_said_now_and_on_nothing_else() -> None:
    before = merge_conditions(
        (), [a_condition(ConditionType.ACCEPTED), a_condition(ConditionType.FITS)], T0, generation=1
    )
    after = merge_conditions(before, [a_condition(ConditionType.ACCEPTED)], T1, generation=2)
    assert [(each.type, each.observed_generation) for each in after] == [("Accepted", 2), ("Fits", 1)]


def test_merging_the_same_again_changes_nothing() -> None:
    new = [a_condition(ConditionType.ACCEPTED), a_condition(ConditionType.AVAILABLE, FALSE, Reason.SLEEPING)]
    once = merge_conditions((), new, T0, generation=3)
    assert merge_conditions(once, new, T1, generation=3) == once


def test_a_reason_of_a_newer_version_is_read() -> None:
    read = Condition.model_validate_json('{"type":"Ready","status":"True","reason":"Invented","message":"","new":1}')
    assert read.reason == "Invented"


def test_a_message_too_long_is_cut() -> None:
    assert len(a_condition(ConditionType.READY, message="x" * 2 * MESSAGE_MAX).message) == MESSAGE_MAX


def test_nothing_wrong_is_accepted() -> None:
    assert accepted_condition(()).is_true


def test_what_is_wrong_stands_in_the_condition_with_its_reason() -> None:
    condition = accepted_condition(
        [
            FieldError("spec.engine.args[0]", "refused", "leave it out", "ArgumentRefused"),
            FieldError("spec.x", "bad", "good"),
        ]
    )
    assert condition.reason == Reason.ARGUMENT_REFUSED
    assert condition.message == "spec.engine.args[0]: refused; leave it out\nspec.x: bad; good"


ACCEPTED = a_condition(ConditionType.ACCEPTED)


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        ([], UNKNOWN, Reason.UNKNOWN),
        ([a_condition(ConditionType.ACCEPTED, generation=0)], UNKNOWN, Reason.UNKNOWN),
        ([ACCEPTED, a_condition(ConditionType.AVAILABLE)], TRUE, Reason.READY),
        ([ACCEPTED, a_condition(ConditionType.AVAILABLE, FALSE, Reason.SLEEPING)], TRUE, Reason.SLEEPING),
        ([ACCEPTED, a_condition(ConditionType.AVAILABLE, FALSE, Reason.SUSPENDED)], FALSE, Reason.SUSPENDED),
        (
            [ACCEPTED, a_condition(ConditionType.AVAILABLE, FALSE, Reason.NO_READY_REPLICAS)],
            FALSE,
            Reason.NO_READY_REPLICAS,
        ),
        ([ACCEPTED], FALSE, Reason.NO_READY_REPLICAS),
        (
            [a_condition(ConditionType.ACCEPTED, FALSE, Reason.INVALID_SPEC), a_condition(ConditionType.AVAILABLE)],
            FALSE,
            Reason.INVALID_SPEC,
        ),
        (
            [
                a_condition(ConditionType.AVAILABLE, FALSE, Reason.NO_READY_REPLICAS),
                a_condition(ConditionType.PROGRESSING, FALSE, Reason.CRASH_LOOP),
                a_condition(ConditionType.RESOLVED, FALSE, Reason.LICENSE_GATED),
                ACCEPTED,
            ],
            FALSE,
            Reason.LICENSE_GATED,
        ),
        (
            [
                ACCEPTED,
                a_condition(ConditionType.AVAILABLE, FALSE, Reason.NO_READY_REPLICAS),
                a_condition(ConditionType.PROGRESSING, TRUE, Reason.LOADING),
            ],
            FALSE,
            Reason.LOADING,
        ),
        (
            [
                ACCEPTED,
                a_condition(ConditionType.AVAILABLE),
                a_condition(ConditionType.PROGRESSING, FALSE, Reason.ROLLED_BACK),
            ],
            TRUE,
            Reason.READY,
        ),
    ],
    ids=lambda value: (
        "+".join(f"{each.type}={each.reason}" for each in value) if isinstance(value, list) else str(value)
    ),
)
def test_a_model_is_ready_when_it_is_accepted_and_answers(
    said: list[Condition], status: ConditionStatus, reason: Reason
) -> None:
    ready = ready_condition(said, generation=1)
    assert (ready.type, ready.status, ready.reason) == ("Ready", status, reason)


def test_a_condition_is_found_by_its_type() -> None:
    assert find_condition([ACCEPTED], ConditionType.ACCEPTED) is ACCEPTED
    assert find_condition([ACCEPTED], ConditionType.FITS) is None
