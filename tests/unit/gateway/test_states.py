"""What is observed of a Model, from its slices and its status."""

from typing import Any

import pytest
from model_builders import a_model
from model_slices import READY, TERMINATING, UNREADY, a_slice, an_endpoint

from berth_api.conditions import Condition
from berth_api.model import Model
from berth_api.model_status import ModelStatus
from berth_gateway.snapshot import ModelState, Phase
from berth_gateway.states import build_states


def said(model: Model, *conditions: tuple[str, str, str, str], of: int | None = None) -> Model:
    """The Model with these conditions: type, status, reason, message; `of` is the generation they speak of."""
    status = ModelStatus(
        conditions=tuple(
            Condition.model_validate(
                {"type": kind, "status": value, "reason": reason, "message": message, "observedGeneration": of}
            )
            for kind, value, reason, message in conditions
        )
    )
    return model.model_copy(update={"status": status})


def state(model: Model, *slices: dict[str, Any]) -> ModelState:
    return build_states([model], slices)[model.key]


def at_generation(model: Model, generation: int) -> Model:
    return model.model_copy(update={"metadata": model.metadata.model_copy(update={"generation": generation})})


def test_a_model_with_a_ready_engine_is_ready() -> None:
    found = state(a_model("qwen"), a_slice("qwen", an_endpoint("10.0.0.1"), an_endpoint("10.0.0.2", UNREADY)))
    assert (found.phase, [endpoint.host for endpoint in found.endpoints]) == (Phase.READY, ["10.0.0.1"])


@pytest.mark.parametrize(
    "condition",
    [
        ("Accepted", "False", "InvalidSpec", "no"),
        ("Progressing", "False", "CrashLoop", "the new revision ends at once"),
        ("Available", "False", "NoReadyReplicas", ""),
    ],
    ids=str,
)
def test_what_serves_goes_on_serving_whatever_the_status_says(condition: tuple[str, str, str, str]) -> None:
    assert state(said(a_model("qwen"), condition), a_slice("qwen")).answers


def test_an_engine_that_ends_takes_nothing_new_beside_one_that_stays() -> None:
    found = state(a_model("qwen"), a_slice("qwen", an_endpoint("10.0.0.1", TERMINATING), an_endpoint("10.0.0.2")))
    assert found.answers
    assert {endpoint.host: endpoint.draining for endpoint in found.endpoints} == {"10.0.0.1": True, "10.0.0.2": False}


def test_a_model_whose_last_engine_ends_is_loading_and_the_engine_finishes_what_it_has() -> None:
    found = state(a_model("qwen"), a_slice("qwen", an_endpoint("10.0.0.1", TERMINATING)))
    assert (found.phase, [endpoint.draining for endpoint in found.endpoints]) == (Phase.LOADING, [True])


def test_a_model_of_which_nothing_was_said_is_loading() -> None:
    assert state(a_model("qwen")) == ModelState(Phase.LOADING)


def test_a_model_that_loads_says_how_far_it_is() -> None:
    model = said(a_model("qwen"), ("Progressing", "True", "Fetching", "fetching the weights: 40 %."))
    assert state(model) == ModelState(Phase.LOADING, message="fetching the weights: 40 %")


def test_a_complete_rollout_without_engines_is_no_news() -> None:
    assert (
        state(said(a_model("qwen"), ("Progressing", "True", "Complete", "the newest revision answers"))).message == ""
    )


@pytest.mark.parametrize("spec", [{"suspend": True}, {"replicas": 0}], ids=str)
def test_a_model_without_replicas_is_suspended(spec: dict[str, Any]) -> None:
    assert state(a_model("qwen", **spec)).phase is Phase.SUSPENDED


def test_a_model_that_scales_by_demand_is_not_suspended_by_its_replicas() -> None:
    assert state(a_model("qwen", replicas=0, autoscaling={"maxReplicas": 2})).phase is Phase.LOADING


def test_a_suspended_model_serves_until_its_last_engine_ends() -> None:
    assert state(a_model("qwen", suspend=True), a_slice("qwen")).answers
    assert (
        state(a_model("qwen", suspend=True), a_slice("qwen", an_endpoint("10.0.0.1", TERMINATING))).phase
        is Phase.SUSPENDED
    )


@pytest.mark.parametrize(
    "condition",
    [
        ("Accepted", "False", "UnknownProfile", "there is no profile `l5`; choose one of l4"),
        ("Resolved", "False", "SourceNotFound", "there is no such repository"),
        ("Fits", "False", "TooLargeForProfile", "needs 40 GiB, has 24"),
        ("Progressing", "False", "OutOfMemory", "the engine was killed at 8 GiB"),
    ],
    ids=str,
)
def test_a_model_that_failed_says_why(condition: tuple[str, str, str, str]) -> None:
    assert state(said(a_model("qwen"), condition)) == ModelState(Phase.FAILED, message=condition[3])


def test_the_first_failure_is_told() -> None:
    model = said(
        a_model("qwen"), ("Progressing", "False", "CrashLoop", "late"), ("Resolved", "False", "LicenseGated", "early")
    )
    assert state(model).message == "early"


@pytest.mark.parametrize(
    "condition", [("Resolved", "False", "Resolving", ""), ("Accepted", "False", "NameConflict", "taken")], ids=str
)
def test_a_model_that_is_still_looked_at_or_lost_its_bare_name_has_not_failed(
    condition: tuple[str, str, str, str],
) -> None:
    assert state(said(a_model("qwen"), condition)).phase is Phase.LOADING


def test_what_was_said_of_an_older_version_is_not_held_against_the_new_one() -> None:
    failed = ("Accepted", "False", "InvalidSpec", "the old mistake")
    assert state(said(at_generation(a_model("qwen"), 2), failed, of=1)).phase is Phase.LOADING
    assert state(said(at_generation(a_model("qwen"), 2), failed, of=2)).phase is Phase.FAILED
    assert state(said(at_generation(a_model("qwen"), 2), failed, of=3)).phase is Phase.FAILED


def test_models_of_two_namespaces_are_told_apart() -> None:
    models = [a_model("qwen"), a_model("qwen", namespace="other")]
    states = build_states(models, [a_slice("qwen", an_endpoint("10.0.0.1", READY), namespace="other")])
    assert {key: found.phase for key, found in states.items()} == {
        "default/qwen": Phase.LOADING,
        "other/qwen": Phase.READY,
    }
