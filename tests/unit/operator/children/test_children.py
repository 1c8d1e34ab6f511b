"""The other children of a Model."""

from typing import Any

import pytest
from model_builders import a_model
from operator_builders import Json, a_document, a_report, a_resolved_world, a_world, some_settings

from berth_api.manifest import parse_object
from berth_api.model import Model
from berth_operator.children.disruption_budget import build_disruption_budget
from berth_operator.children.names import child_identities, resolver_name
from berth_operator.children.network_policy import build_engine_policy, build_loading_policy
from berth_operator.children.resolver_job import build_resolver_job
from berth_operator.children.service import build_service
from berth_operator.resolution import Question
from berth_store.resolver.__main__ import build_parser


def the_model(**spec: Any) -> Model:
    model = parse_object(a_document(**spec))
    assert isinstance(model, Model)
    return model


def test_the_deployment_owns_its_replicas_and_selects_the_engine_alone() -> None:
    spec = a_resolved_world(replicas=3).deployment["spec"]
    assert spec["replicas"] == 3
    assert spec["revisionHistoryLimit"] == 2
    assert "berth.dev/revision" not in spec["selector"]["matchLabels"]
    assert "berth.dev/loading" not in spec["selector"]["matchLabels"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_a_cpu_model_surges() -> None:
    assert a_resolved_world().deployment["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_a_start_is_overdue_after_the_users_deadline() -> None:
    assert a_resolved_world(rollout={"startDeadline": "10m"}).deployment["spec"]["progressDeadlineSeconds"] == 600


def test_the_deployment_remembers_what_was_resolved() -> None:
    annotations = a_resolved_world().deployment["metadata"]["annotations"]
    assert annotations["berth.dev/digest"].startswith("sha256:abab")
    assert '"format": "GGUF"' in annotations["berth.dev/resolution"]


def test_the_service_leads_port_80_to_the_engine_and_carries_the_models_label() -> None:
    service = build_service(the_model())
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    assert service["metadata"]["labels"]["berth.dev/model"] == "qwen"
    assert service["metadata"]["name"] == "qwen-engine"


@pytest.mark.parametrize(("spec", "wanted"), [({"replicas": 1}, False), ({"replicas": 2}, True)])
def test_only_a_model_with_several_replicas_has_a_budget(spec: Json, wanted: bool) -> None:
    assert (build_disruption_budget(the_model(**spec)) is not None) is wanted


def test_a_suspended_model_has_no_budget() -> None:
    assert build_disruption_budget(the_model(replicas=3, suspend=True)) is None


def test_a_budget_lets_one_go_at_a_time_and_keeps_no_node_for_what_does_not_answer() -> None:
    budget = build_disruption_budget(the_model(replicas=2))
    assert budget is not None
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_only_gateway_and_operator_reach_an_engine_and_it_reaches_nobody() -> None:
    spec = build_engine_policy(the_model(), some_settings())["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    sources = [rule["from"][0] for rule in spec["ingress"]]
    assert [one["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in sources] == [
        "gateway",
        "operator",
    ]
    assert {one["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for one in sources} == {
        "berth-system"
    }


def test_the_gateway_reaches_the_engines_port_alone() -> None:
    gateway, operator = build_engine_policy(the_model(), some_settings())["spec"]["ingress"]
    assert [port["port"] for port in gateway["ports"]] == [8000]
    assert [port["port"] for port in operator["ports"]] == [8000, 8001]


def test_monitoring_comes_in_from_any_namespace_where_it_is_named() -> None:
    settings = some_settings(monitoring_labels={"app": "prometheus"})
    rule = build_engine_policy(the_model(), settings)["spec"]["ingress"][-1]
    assert rule["from"] == [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "prometheus"}}}]


def test_what_loads_gets_out_be_it_engine_or_resolver() -> None:
    selector = build_loading_policy(the_model())["spec"]["podSelector"]
    assert selector["matchLabels"] == {"berth.dev/model": "qwen"}
    assert selector["matchExpressions"] == [{"key": "berth.dev/loading", "operator": "Exists"}]


def test_a_resolver_never_runs_twice_by_itself_and_is_forgotten_in_the_end() -> None:
    spec = build_resolver_job(Question(the_model()), 1, some_settings())["spec"]
    assert (spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]) == (0, "Never")
    assert spec["activeDeadlineSeconds"] == 300
    assert spec["ttlSecondsAfterFinished"] == 3600


def test_a_resolvers_pod_is_no_engine() -> None:
    labels = build_resolver_job(Question(the_model()), 1, some_settings())["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "resolver"
    assert labels["berth.dev/loading"] == ""


def test_a_resolver_judges_the_signature_too() -> None:
    reference = {"name": "model-keys", "key": "release.pem"}
    model = the_model(source={"uri": "oci://r.example/m:1", "signature": {"key": {"configMapRef": reference}}})
    pod = build_resolver_job(Question(model), 1, some_settings())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "--signed-by-key=/etc/berth/signature/release.pem" in container["command"]
    assert "signature" in [mount["name"] for mount in container["volumeMounts"]]
    assert "signature" in [volume["name"] for volume in pod["volumes"]]


def test_a_resolver_is_told_the_pin_the_task_and_the_engine() -> None:
    digest = "sha256:" + "1" * 64
    model = the_model(source={"uri": f"oci://r.example/m@{digest}"}, task="Embedding", engine={"type": "OnnxRuntime"})
    (container,) = build_resolver_job(Question(model), 1, some_settings())["spec"]["template"]["spec"]["containers"]
    assert container["command"][3:] == [
        *("--source", f"oci://r.example/m@{digest}", "--digest", digest),
        *("--task", "Embedding", "--engine", "OnnxRuntime"),
    ]


def test_a_resolver_is_told_which_of_several_formats_is_meant() -> None:
    model = the_model(artifact={"format": "GGUF"})
    (container,) = build_resolver_job(Question(model), 1, some_settings())["spec"]["template"]["spec"]["containers"]
    assert container["command"][container["command"].index("--format") + 1] == "GGUF"


def test_a_resolver_is_told_that_a_template_of_the_users_takes_the_place_of_the_models() -> None:
    model = the_model(chatTemplate={"configMapRef": {"name": "c", "key": "k"}})
    for asked, given in ((model, True), (the_model(), False)):
        (container,) = build_resolver_job(Question(asked), 1, some_settings())["spec"]["template"]["spec"]["containers"]
        assert ("--own-template" in container["command"]) is given


def test_a_resolver_sees_the_claim_that_the_model_lies_on() -> None:
    model = the_model(source={"uri": "pvc://weights/qwen"})
    pod = build_resolver_job(Question(model), 1, some_settings())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    claim = {"claimName": "weights", "readOnly": True}
    assert {"name": "claim", "persistentVolumeClaim": claim} in pod["volumes"]
    assert {"name": "claim", "mountPath": "/claim", "readOnly": True} in container["volumeMounts"]
    asked = build_parser().parse_args(container["command"][3:])
    assert (asked.source, str(asked.volume)) == ("pvc://weights/qwen", "/claim")


def test_a_resolver_tolerates_what_the_models_pods_tolerate() -> None:
    model = the_model(pod={"tolerations": [{"key": "x", "operator": "Exists"}], "nodeSelector": {"gpu": "l4"}})
    pod = build_resolver_job(Question(model), 1, some_settings())["spec"]["template"]["spec"]
    assert pod["tolerations"] == [{"key": "x", "operator": "Exists"}]
    assert "nodeSelector" not in pod


def test_each_attempt_has_a_name_of_its_own() -> None:
    names = {resolver_name("qwen", "0123abcd", attempt) for attempt in range(1, 20)}
    assert len(names) == 19
    assert "qwen-resolve-0123abcd" in names


def test_every_child_is_owned_by_the_model_and_labelled() -> None:
    world = a_resolved_world(replicas=2)
    world.children |= a_world().settle().children
    assert len(world.children) == 6
    for (kind, _), child in world.children.items():
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("uid-qwen", True, True), kind
        assert child["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "berth"
        assert child["metadata"]["labels"]["berth.dev/model"] == "qwen"
        assert child["metadata"]["namespace"] == "default"


def test_all_children_but_jobs_have_names_that_are_known_beforehand() -> None:
    claimed = a_resolved_world(replicas=2, cache={"type": "OwnedClaim", "ownedClaim": {"size": "5Gi"}})
    imaged = a_resolved_world(replicas=2, cache={"type": "ImageVolume", "prefetch": True})
    group = a_resolved_world(
        report=a_report(format="Safetensors").replace("model.gguf", "model.safetensors"),
        accelerator={"profiles": ["l4"], "nodes": 2},
    )
    assert {*claimed.children, *imaged.children, *group.children} == set(child_identities("qwen"))


def test_a_long_name_still_names_every_child() -> None:
    model = a_model("a" * 50)
    names = [name for _, name in child_identities(model.metadata.name)]
    names.append(resolver_name(model.metadata.name, "0123abcd", 12))
    assert all(len(name) <= 63 for name in names)
