"""Models and ModelRoutes as delivered: versions, successors, and whom a change reaches."""

import pytest
from fake_cluster import FakeCluster
from operator_parts import QWEN, QWEN_MODEL, put_model, put_route

from berth_api.claims import Owner
from berth_kube.resources import Key, Object
from berth_operator.declared import Declared
from berth_operator.subject import MODELS, Kind, Subject

CHAT_ROUTE = Subject(Kind.ROUTE, Key("default", "chat"))


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def declared() -> Declared:
    return Declared()


def edited(document: Object, version: str) -> Object:
    return {**document, "metadata": {**document["metadata"], "resourceVersion": version}}


def known_version(declared: Declared) -> str:
    found = declared.find(QWEN_MODEL)
    assert found is not None
    return str(found.document["metadata"]["resourceVersion"])


def test_a_delivered_object_is_looked_at(declared: Declared, cluster: FakeCluster) -> None:
    assert declared.put(Kind.MODEL, put_model(cluster)) == {QWEN_MODEL}


def test_a_version_that_is_known_or_older_changes_nothing(declared: Declared, cluster: FakeCluster) -> None:
    document = put_model(cluster)
    declared.put(Kind.MODEL, edited(document, "20"))
    assert declared.put(Kind.MODEL, edited(document, "20")) == frozenset()
    assert declared.put(Kind.MODEL, edited(document, "19")) == frozenset()
    assert known_version(declared) == "20"


def test_the_end_of_an_object_does_not_end_its_successor(declared: Declared, cluster: FakeCluster) -> None:
    old = put_model(cluster)
    cluster.remove(MODELS, QWEN)
    new = put_model(cluster)
    declared.put(Kind.MODEL, new)
    assert declared.drop(Kind.MODEL, old) == frozenset()
    assert declared.drop(Kind.MODEL, new) == {QWEN_MODEL}
    assert len(declared) == 0


def test_what_only_the_api_server_and_kubectl_need_is_not_kept(declared: Declared, cluster: FakeCluster) -> None:
    document = put_model(cluster)
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "kept"}
    heavy = {**document["metadata"], "managedFields": [{}], "annotations": annotations}
    declared.put(Kind.MODEL, {**document, "metadata": heavy})
    found = declared.find(QWEN_MODEL)
    assert found is not None
    assert "managedFields" not in found.document["metadata"]
    assert found.document["metadata"]["annotations"] == {"mine": "kept"}


def test_a_change_of_a_model_reaches_the_routes_that_mention_it(declared: Declared, cluster: FakeCluster) -> None:
    declared.put(Kind.ROUTE, put_route(cluster, "chat", model="qwen"))
    declared.put(Kind.ROUTE, put_route(cluster, "other", model="phi"))
    assert declared.put(Kind.MODEL, put_model(cluster)) == {QWEN_MODEL, CHAT_ROUTE}


def test_a_route_that_no_longer_mentions_a_model_is_left_alone(declared: Declared, cluster: FakeCluster) -> None:
    declared.put(Kind.ROUTE, put_route(cluster, "chat", model="qwen"))
    declared.put(Kind.ROUTE, put_route(cluster, "chat", model="phi"))
    assert declared.put(Kind.MODEL, put_model(cluster)) == {QWEN_MODEL}


def test_a_claim_on_a_name_reaches_all_who_claim_it(declared: Declared, cluster: FakeCluster) -> None:
    declared.put(Kind.MODEL, put_model(cluster, aliases=["assistant"]))
    rival = put_model(cluster, "phi", aliases=["assistant"])
    rival_subject = Subject(Kind.MODEL, Key("default", "phi"))
    assert declared.put(Kind.MODEL, rival) == {QWEN_MODEL, rival_subject}
    assert declared.drop(Kind.MODEL, rival) == {QWEN_MODEL, rival_subject}


def test_a_change_that_claims_nothing_new_reaches_no_rival(declared: Declared, cluster: FakeCluster) -> None:
    declared.put(Kind.MODEL, put_model(cluster, aliases=["assistant"]))
    declared.put(Kind.MODEL, put_model(cluster, "phi", aliases=["assistant"]))
    assert declared.put(Kind.MODEL, put_model(cluster, aliases=["assistant"], replicas=2)) == {QWEN_MODEL}


def test_the_claims_of_an_object_tell_of_its_names_alone(declared: Declared, cluster: FakeCluster) -> None:
    declared.put(Kind.MODEL, put_model(cluster, aliases=["assistant"]))
    declared.put(Kind.MODEL, put_model(cluster, "phi", aliases=["assistant"]))
    claims = declared.claims_of(Subject(Kind.MODEL, Key("default", "phi")))
    assert claims.bare == {"assistant": Owner("Model", "default", "phi"), "phi": Owner("Model", "default", "phi")}
    assert [conflict.loser.name for conflict in claims.conflicts] == ["qwen"]


def test_bare_names_belong_to_the_namespaces_that_the_installation_lists(cluster: FakeCluster) -> None:
    declared = Declared(["team-b"])
    declared.put(Kind.MODEL, put_model(cluster))
    claims = declared.claims_of(QWEN_MODEL)
    assert (claims.bare, claims.conflicts) == ({}, ())
    assert claims.owner_of("default/qwen") == Owner("Model", "default", "qwen")


def test_what_can_not_be_parsed_claims_and_mentions_nothing(declared: Declared, cluster: FakeCluster) -> None:
    declared.put(Kind.MODEL, put_model(cluster, replicas="many"))
    assert declared.claims_of(QWEN_MODEL).bare == {}
    assert declared.find(QWEN_MODEL) is not None


def test_the_models_of_a_route_carry_their_status(declared: Declared, cluster: FakeCluster) -> None:
    put_model(cluster)
    declared.put(Kind.MODEL, cluster.set_status(MODELS, QWEN, {"readyReplicas": 2}))
    declared.put(Kind.ROUTE, put_route(cluster))
    (model,) = declared.models_of(CHAT_ROUTE).values()
    assert model.status.ready_replicas == 2


def test_a_status_in_an_unknown_form_counts_as_none(declared: Declared, cluster: FakeCluster) -> None:
    put_model(cluster)
    declared.put(Kind.MODEL, cluster.set_status(MODELS, QWEN, {"readyReplicas": "two"}))
    declared.put(Kind.ROUTE, put_route(cluster))
    (model,) = declared.models_of(CHAT_ROUTE).values()
    assert model.status.ready_replicas == 0
