"""What the agent says where no engine answers."""

from http import HTTPStatus

import pytest
from snapshots import backend, model, ready, route, snapshot_of

from berth_gateway import answers
from berth_gateway.actions import Question
from berth_gateway.snapshot import ModelState, Phase


def state_of(state: ModelState) -> answers.Answer:
    return answers.model_state("default/qwen", snapshot_of(model("qwen"), states={"qwen": state}))


def ids(answer: answers.Answer) -> list[str]:
    return [entry["id"] for entry in answer.body["data"]]


def test_the_list_shows_every_bare_name_once_with_its_owner() -> None:
    snapshot = snapshot_of(
        model("qwen", aliases=["qwen2.5"]),
        model("hidden", exposure="RoutesOnly"),
        route("chat", {"backends": [backend("hidden")]}),
    )
    listed = answers.list_models(snapshot)
    assert listed.body["object"] == "list"
    assert ids(listed) == ["chat", "qwen", "qwen2.5"]
    assert listed.body["data"][2] == {
        "id": "qwen2.5",
        "object": "model",
        "created": 0,
        "owned_by": "default",
        "root": "default/qwen",
    }


SQL = {"name": "sql", "source": {"uri": "oci://localhost/sql:1"}}


def test_the_list_shows_an_adapter_beside_its_model() -> None:
    snapshot = snapshot_of(model("qwen", adapters=[SQL]))
    listed = answers.list_models(snapshot)
    assert ids(listed) == ["qwen", "qwen:sql"]
    assert "parent" not in listed.body["data"][0]
    assert listed.body["data"][1] == {
        "id": "qwen:sql",
        "object": "model",
        "created": 0,
        "owned_by": "default",
        "root": "default/qwen:sql",
        "parent": "default/qwen",
    }


def test_an_adapter_that_is_not_there_is_404_with_one_that_is() -> None:
    answer = answers.explain(Question.UNKNOWN_NAME, "qwen:sq1", snapshot_of(model("qwen", adapters=[SQL])))
    assert answer.status is HTTPStatus.NOT_FOUND
    assert answer.body["error"]["code"] == "model_not_found"
    assert "Did you mean `qwen:sql`" in answer.body["error"]["message"]


def test_an_adapter_loads_with_its_model() -> None:
    snapshot = snapshot_of(model("qwen", adapters=[SQL]), states={"qwen": ModelState(Phase.LOADING)})
    answer = answers.model_state("default/qwen:sql", snapshot)
    assert answer.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert "default/qwen:sql is loading" in answer.body["error"]["message"]


def test_the_list_shows_the_qualified_name_of_one_who_lost_the_bare_name() -> None:
    snapshot = snapshot_of(model("qwen", namespace="team-a"), model("qwen", namespace="team-b"))
    assert ids(answers.list_models(snapshot)) == ["qwen", "team-b/qwen"]


@pytest.mark.parametrize(
    ("phase", "is_listed"),
    [(Phase.READY, True), (Phase.LOADING, True), (Phase.SUSPENDED, False), (Phase.FAILED, False)],
)
def test_the_list_shows_what_answers_now_or_soon(phase: Phase, is_listed: bool) -> None:
    snapshot = snapshot_of(
        model("qwen"), route("chat", {"backends": [backend("qwen")]}), states={"qwen": ModelState(phase)}
    )
    assert ids(answers.list_models(snapshot)) == (["chat", "qwen"] if is_listed else [])
    assert answers.show_model("qwen", snapshot).status is HTTPStatus.OK


def test_a_loading_model_is_503_with_its_progress_and_when_to_come_back() -> None:
    answer = state_of(ModelState(Phase.LOADING, message="60 percent of the weights are here", retry_after_seconds=7))
    assert answer.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.headers["retry-after"] == "7"
    assert answer.body["error"] == {
        "message": "The model default/qwen is loading: 60 percent of the weights are here. Try again in 7 s.",
        "type": "server_error",
        "param": "model",
        "code": "model_loading",
    }


def test_a_model_whose_engine_has_just_gone_counts_as_loading() -> None:
    assert state_of(ready()).body["error"]["code"] == "model_loading"


@pytest.mark.parametrize(("phase", "code"), [(Phase.SUSPENDED, "model_suspended"), (Phase.FAILED, "model_failed")])
def test_a_model_that_waiting_does_not_help_says_why_and_stops_clients_from_trying(phase: Phase, code: str) -> None:
    answer = state_of(ModelState(phase, message="the file is damaged"))
    assert answer.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.body["error"]["code"] == code
    assert "the file is damaged" in answer.body["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"


def test_an_unknown_name_is_404_with_names_that_look_alike() -> None:
    snapshot = snapshot_of(model("smollm2"), model("smollm3"), model("minilm"))
    error = answers.unknown_model("SmolLM", snapshot).body["error"]
    assert error["code"] == "model_not_found"
    assert error["param"] == "model"
    assert error["type"] == "invalid_request_error"
    assert "Did you mean `smollm3` or `smollm2`?" in error["message"]


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    message = answers.unknown_model("zzz", snapshot_of(model("smollm2"))).body["error"]["message"]
    assert "Did you mean" not in message


def test_names_of_models_for_routes_only_are_never_suggested() -> None:
    snapshot = snapshot_of(model("secret", exposure="RoutesOnly"), route("chat", {"backends": [backend("secret")]}))
    assert "secret" not in answers.unknown_model("secre", snapshot).body["error"]["message"].replace("`secre`", "")


def test_a_route_without_a_fitting_rule_says_so() -> None:
    rule = {"match": {"headers": [{"name": "x-tier", "value": "gold"}]}, "backends": [backend("qwen")]}
    answer = answers.explain(Question.NO_RULE, "chat", snapshot_of(model("qwen"), route("chat", rule)))
    assert answer.status is HTTPStatus.NOT_FOUND
    assert "The ModelRoute default/chat has no rule" in answer.body["error"]["message"]


def test_a_route_without_a_model_names_what_is_missing() -> None:
    answer = answers.explain(Question.NO_BACKEND, "chat", snapshot_of(route("chat", {"backends": [backend("gone")]})))
    assert answer.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert "the Model default/gone does not exist" in answer.body["error"]["message"]
