"""Which version of an object counts."""

import copy
from typing import Any

import pytest
from model_builders import a_manifest

from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_gateway.declared import Declared, trim_object
from berth_kube.resources import Key, Object

QWEN = Key("default", "qwen")


def a_document(name: str = "qwen", *, uid: str = "a", generation: int = 1, **spec: Any) -> dict[str, Any]:
    written = {"source": {"uri": "oci://localhost/qwen:latest"}, **spec}
    document = a_manifest("Model", name, spec=written)
    document["metadata"] |= {"uid": uid, "generation": generation, "resourceVersion": "1"}
    return trim_object(document)


def a_bad_document(**more: Any) -> dict[str, Any]:
    return a_document(replicas="many", **more)


def with_condition(document: Object, message: str) -> dict[str, Any]:
    changed = copy.deepcopy(dict(document))
    changed["status"] = {
        "conditions": [{"type": "Progressing", "status": "True", "reason": "Loading", "message": message}]
    }
    return changed


def parsed(declared: Declared[Model], *documents: Object) -> list[Model]:
    return [good.parsed for good in declared.take(documents)]


def test_a_valid_version_takes_the_place_of_the_one_before() -> None:
    declared = Declared(Model)
    declared.take([a_document(replicas=1)])
    assert [model.spec.replicas for model in parsed(declared, a_document(generation=2, replicas=2))] == [2]


def test_a_version_that_is_not_valid_leaves_the_last_valid_one(caplog: pytest.LogCaptureFixture) -> None:
    declared = Declared(Model)
    declared.take([a_document(aliases=["old"])])
    (good,) = declared.take([a_bad_document(generation=2)])
    assert (good.parsed.spec.aliases, good.document["metadata"]["generation"]) == (("old",), 1)
    assert "replicas" in declared.refused[QWEN]
    assert "its last valid version is served on" in caplog.text


def test_a_refusal_is_logged_once_however_often_the_status_changes(caplog: pytest.LogCaptureFixture) -> None:
    declared = Declared(Model)
    for number in range(5):
        declared.take([with_condition(a_bad_document(), str(number))])
    assert len(caplog.records) == 1


def test_an_object_that_was_never_valid_is_left_out_until_it_is() -> None:
    declared = Declared(Model)
    assert declared.take([a_bad_document()]) == ()
    assert len(declared.take([a_document(generation=2)])) == 1
    assert declared.refused == {}


def test_one_bad_object_costs_no_other() -> None:
    models = parsed(Declared(Model), a_bad_document(), a_document("llama"))
    assert [model.metadata.name for model in models] == ["llama"]


def test_the_last_valid_version_goes_with_its_object() -> None:
    declared = Declared(Model)
    declared.take([a_document()])
    assert declared.take([]) == ()
    assert declared.take([a_bad_document()]) == ()


def test_an_object_made_anew_under_an_old_name_starts_anew() -> None:
    declared = Declared(Model)
    declared.take([a_document(uid="a")])
    assert declared.take([a_bad_document(uid="b")]) == ()


def test_the_status_of_a_refused_version_still_tells_of_the_model() -> None:
    declared = Declared(Model)
    declared.take([a_document()])
    (model,) = parsed(declared, with_condition(a_bad_document(generation=2), "half way"))
    assert model.status.conditions[0].message == "half way"


def test_a_change_of_status_alone_parses_no_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = Declared(Model)
    declared.take([a_document()])
    monkeypatch.setattr("berth_gateway.declared.parse_object", None)
    (model,) = parsed(declared, with_condition(a_document(), "half way"))
    assert model.status.conditions[0].message == "half way"


def test_conditions_that_cannot_be_read_do_not_decide_whether_a_model_is_served() -> None:
    document = a_document()
    document["status"] = {"conditions": [{"type": 5}]}
    (model,) = parsed(Declared(Model), document)
    assert model.status.conditions == ()


def test_an_object_without_a_spec_is_refused_and_nothing_more() -> None:
    declared = Declared(ModelRoute)
    document = trim_object({**a_manifest("ModelRoute", "chat", spec={}), "spec": None})
    assert declared.take([document]) == ()
    assert set(declared.refused) == {Key("default", "chat")}


def test_trimming_keeps_identity_spec_and_conditions_alone() -> None:
    whole = a_manifest("Model", "qwen", spec={"replicas": 1})
    whole["metadata"] |= {"uid": "a", "annotations": {"long": "x" * 1000}, "labels": {"a": "b"}, "generation": 4}
    whole["status"] = {"conditions": [], "stages": [{"name": "Fetched", "milliseconds": 4}]}
    assert trim_object(whole) == {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "Model",
        "metadata": {"name": "qwen", "namespace": "default", "uid": "a", "generation": 4},
        "spec": {"replicas": 1},
        "status": {"conditions": []},
    }
