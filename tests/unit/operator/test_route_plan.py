"""What a ModelRoute is told: of its names, its backends, and of the gateways that serve it."""

from typing import Any

import pytest
from model_builders import a_backend, a_manifest, a_model, a_route
from operator_builders import NOW, Json, condition, says, some_settings

from berth_api.claims import claim_names
from berth_api.conditions import Condition, ConditionStatus
from berth_api.model import Model
from berth_operator.facts import GatewayReport, RouteFacts
from berth_operator.plan import Plan
from berth_operator.route_plan import plan_route

KEY = "default/chat"
FALLBACKS = (("here", ""), ("qwen", "team-b"))


def a_document(*rules: Json, generation: int = 1, names: tuple[str, ...] = ("chat",), **spec: Any) -> Json:
    written = {"names": list(names), "rules": list(rules) or [{"backends": [a_backend("qwen")]}], **spec}
    document = a_manifest("ModelRoute", "chat", spec=written)
    document["metadata"] |= {"uid": "uid-chat", "generation": generation}
    return document


def an_answering(name: str = "qwen", *, answers: bool = True, **known: Any) -> Model:
    available = Condition(
        type="Available", status=ConditionStatus.TRUE if answers else ConditionStatus.FALSE, reason="Available"
    )
    model = a_model(name, **known)
    return model.model_copy(update={"status": model.status.model_copy(update={"conditions": (available,)})})


def a_gateway(pod: str = "gateway-1", generation: int | None = 1, uid: str = "uid-chat") -> GatewayReport:
    return GatewayReport(pod, {KEY: (uid, generation)} if generation is not None else {})


def plan(document: Json, *models: Model, gateways: tuple[GatewayReport, ...] = (a_gateway(),), **known: Any) -> Plan:
    facts = RouteFacts(document, models={model.key: model for model in models}, gateways=gateways, **known)
    return plan_route(facts, some_settings(), NOW)


def shown(document: Json, *models: Model, **known: Any) -> Json:
    """The document with the status of its plan."""
    found = plan(document, *models, **known)
    assert found.status is not None
    return {**document, "status": dict(found.status)}


def test_a_route_whose_backend_answers_and_that_all_gateways_have_is_well() -> None:
    found = plan(a_document(), an_answering())
    assert says(found.status, "Accepted") == ("True", "Accepted")
    assert says(found.status, "BackendsReady") == ("True", "BackendsReady")
    assert says(found.status, "Programmed") == ("True", "Programmed")
    assert found.again_after_seconds is None
    assert [notice.reason for notice in found.notices] == ["Programmed"]


def test_a_steady_route_writes_nothing() -> None:
    assert plan(shown(a_document(), an_answering()), an_answering()) == Plan()


def test_a_route_makes_no_children() -> None:
    found = plan(a_document(), an_answering())
    assert (found.writes, found.deletes, found.unlabels) == ((), (), ())


def test_the_backends_are_counted_in_a_sentence() -> None:
    rule = {"backends": [a_backend("a"), a_backend("b"), a_backend("c")]}
    found = plan(a_document(rule), an_answering("a"), an_answering("b"), an_answering("c", answers=False))
    assert says(found.status, "BackendsReady") == ("False", "NoReadyReplicas")
    assert condition(found.status, "BackendsReady")["message"] == "2 of 3 backends answer"


def test_one_backend_is_counted_as_one() -> None:
    assert condition(plan(a_document(), an_answering()).status, "BackendsReady")["message"] == "1 of 1 backend answers"


def test_a_backend_without_weight_need_not_answer() -> None:
    rule = {"backends": [a_backend("a"), a_backend("b", 0)]}
    assert says(plan(a_document(rule), an_answering("a")).status, "BackendsReady")[0] == "True"


def test_a_model_that_is_not_there_is_named() -> None:
    found = plan(a_document({"backends": [a_backend("nobody")]}))
    assert says(found.status, "BackendsReady") == ("False", "NoReadyReplicas")
    message = condition(found.status, "BackendsReady")["message"]
    assert message == "0 of 1 backend answers; there is no Model default/nobody"


def test_a_fallback_that_is_not_there_is_named_too() -> None:
    rule = {"backends": [a_backend("qwen")], "fallbacks": [{"backendRef": {"name": "nobody"}}]}
    found = plan(a_document(rule), an_answering())
    assert "there is no Model default/nobody" in condition(found.status, "BackendsReady")["message"]


def test_a_model_of_which_nothing_is_known_yet_does_not_answer() -> None:
    assert says(plan(a_document(), a_model("qwen")).status, "BackendsReady")[0] == "False"


def test_the_backends_are_listed_with_their_weights() -> None:
    rule = {"backends": [a_backend("a", 9), a_backend("b", 1, namespace="other"), a_backend("c", 2)]}
    found = plan(a_document(rule), an_answering("a"), an_answering("b", namespace="other"))
    assert found.status is not None
    assert found.status["backends"] == [
        {"name": "a", "weight": 9, "effectiveWeight": 9, "ready": True},
        {"name": "other/b", "weight": 1, "effectiveWeight": 0, "ready": False},
        {"name": "c", "weight": 2, "effectiveWeight": 0, "ready": False},
    ]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"backends": [a_backend("qwen", namespace="team-b")]}, "spec.rules[0].backends[0].backendRef.namespace"),
        (
            {
                "backends": [a_backend("here")],
                "fallbacks": [
                    {"backendRef": {"name": "here"}},
                    {"backendRef": {"name": "qwen", "namespace": "team-b"}},
                ],
            },
            "spec.rules[0].fallbacks[1].backendRef.namespace",
        ),
    ],
)
def test_another_namespaces_model_has_to_allow_the_route(rule: Json, path: str) -> None:
    foreign = an_answering("qwen", namespace="team-b")
    found = plan(a_document(rule), foreign, an_answering("here"))
    assert says(found.status, "Accepted") == ("False", "RouteNotAllowed")
    message = condition(found.status, "Accepted")["message"]
    assert message.startswith(path)
    assert "spec.allowedRoutes.namespaces" in message
    allowed = an_answering("qwen", namespace="team-b", allowed_routes={"namespaces": ["default"]})
    assert says(plan(a_document(rule), allowed, an_answering("here")).status, "Accepted")[0] == "True"


LORA: Json = {"name": "sql", "source": {"uri": "oci://localhost/sql:1"}}


def test_a_route_to_an_adapter_answers_with_its_model() -> None:
    rule = {"backends": [a_backend("qwen", 9), a_backend("qwen", 1, adapter="sql")]}
    found = plan(a_document(rule), an_answering(adapters=[LORA]))
    assert says(found.status, "Accepted") == ("True", "Accepted")
    assert says(found.status, "BackendsReady")[0] == "True"
    assert found.status is not None
    assert [backend["name"] for backend in found.status["backends"]] == ["qwen", "qwen:sql"]


def test_an_adapter_that_its_model_has_not_is_named_with_those_that_it_has() -> None:
    rule = {"backends": [a_backend("qwen", 9)], "fallbacks": [{"backendRef": {"name": "qwen", "adapter": "sq1"}}]}
    found = plan(a_document(rule), an_answering(adapters=[LORA]))
    assert says(found.status, "Accepted") == ("False", "InvalidSpec")
    message = condition(found.status, "Accepted")["message"]
    assert message == (
        "spec.rules[0].fallbacks[0].backendRef.adapter: the Model default/qwen has no adapter sq1; did you mean `sql`?"
    )
    rule = {"backends": [a_backend("qwen", adapter="poem")]}
    found = plan(a_document(rule), an_answering())
    assert "it has none" in condition(found.status, "Accepted")["message"]
    assert found.status is not None
    assert found.status["backends"] == [{"name": "qwen:poem", "weight": 1, "effectiveWeight": 0, "ready": False}]


def test_whether_a_foreign_model_exists_is_not_told_apart_by_acceptance() -> None:
    """A route that names a Model that is not there is accepted and waits: the Model may come later."""
    rule = {"backends": [a_backend("qwen", namespace="team-b")]}
    assert says(plan(a_document(rule)).status, "Accepted") == ("True", "Accepted")


def test_a_field_that_is_still_to_come_is_refused_by_its_path() -> None:
    rule = {"backends": [a_backend("qwen")], "match": {"keys": ["a"]}}
    found = plan(a_document(rule), an_answering())
    assert says(found.status, "Accepted") == ("False", "UnsupportedField")
    assert "spec.rules[0].match.keys" in condition(found.status, "Accepted")["message"]
    assert found.notices[0].reason == "UnsupportedField"


def test_a_name_that_another_namespace_had_first_is_told() -> None:
    older = a_route("other", names=["chat"], namespace="team-a", created="2025-01-01T00:00:00Z")
    mine = a_route("chat", names=["own", "chat"], created="2026-01-01T00:00:00Z")
    found = plan(a_document(names=("own", "chat")), an_answering(), claims=claim_names([], [older, mine]))
    assert says(found.status, "Accepted") == ("False", "NameConflict")
    message = condition(found.status, "Accepted")["message"]
    assert "spec.names[1]: the name `chat` belongs to the ModelRoute team-a/other" in message


def test_a_route_of_the_namespace_takes_a_models_name_without_a_conflict() -> None:
    claims = claim_names([a_model("qwen")], [a_route("chat", names=["qwen"])])
    found = plan(a_document(names=("qwen",)), an_answering(), claims=claims)
    assert says(found.status, "Accepted") == ("True", "Accepted")


def test_a_bad_edit_keeps_what_is_said_of_the_version_before() -> None:
    before = shown(a_document(), an_answering())
    found = plan({**a_document(generation=2, rules=[]), "status": before["status"]}, an_answering())
    assert says(found.status, "Accepted") == ("False", "InvalidSpec")
    assert condition(found.status, "Programmed") == condition(before["status"], "Programmed")
    assert found.status is not None
    assert found.status["backends"] == before["status"]["backends"]
    assert found.status["observedGeneration"] == 2
    assert found.again_after_seconds is None


@pytest.mark.parametrize(
    ("gateways", "expected", "again"),
    [
        ((a_gateway("a"), a_gateway("b")), ("True", "Programmed"), None),
        ((a_gateway("a"), a_gateway("b", None)), ("False", "Programming"), 1.0),
        ((a_gateway("a"), a_gateway("b", 0)), ("False", "Programming"), 1.0),
        ((a_gateway("a", uid="another"),), ("False", "Programming"), 1.0),
        ((a_gateway("a"), GatewayReport("b", None)), ("Unknown", "Unknown"), 15.0),
        ((a_gateway("a", 0), GatewayReport("b", None)), ("Unknown", "Unknown"), 1.0),
        ((), ("Unknown", "Unknown"), 5.0),
    ],
)
def test_a_route_is_programmed_once_every_gateway_has_this_very_version(
    gateways: tuple[GatewayReport, ...], expected: tuple[str, str], again: float | None
) -> None:
    found = plan(a_document(), an_answering(), gateways=gateways)
    assert says(found.status, "Programmed") == expected
    assert found.again_after_seconds == again


def test_a_gateway_that_does_not_answer_is_named() -> None:
    found = plan(a_document(), an_answering(), gateways=(a_gateway("a"), GatewayReport("b")))
    assert condition(found.status, "Programmed")["message"] == "b of 2 gateway replicas did not answer"


def test_a_route_that_is_asked_for_again_and_again_is_written_once() -> None:
    waiting = shown(a_document(), an_answering(), gateways=())
    found = plan(waiting, an_answering(), gateways=())
    assert found.status is None
    assert found.again_after_seconds == 5


def test_a_route_that_is_deleted_is_left_alone() -> None:
    document = a_document()
    document["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    assert plan(document, an_answering()) == Plan()


def test_a_status_that_makes_no_sense_is_written_anew() -> None:
    found = plan({**a_document(), "status": {"backends": 7}}, an_answering())
    assert says(found.status, "Accepted") == ("True", "Accepted")
