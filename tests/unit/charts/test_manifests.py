"""The plain manifests, which are the chart with its own values: what the pods may do, and what they are told."""

from pathlib import Path

import chart
import pytest
import yaml
from pydantic.alias_generators import to_camel

from berth_api.crd import build_crds
from berth_api.names import GATEWAY_SERVICE
from berth_gateway import envoy
from berth_gateway.arguments import parse_arguments
from berth_operator.settings import OperatorSettings, Section, read_settings

OBJECTS = chart.plain_manifests()
TEMPLATES = chart.pod_templates(OBJECTS)
CONTAINERS = {
    f"{pod}/{container['name']}": container
    for pod, template in TEMPLATES.items()
    for container in chart.containers_of(template)
}
CLUSTER_KINDS = {"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}


def test_all_is_in_one_namespace_that_enforces_the_restricted_profile() -> None:
    labels = chart.pick(OBJECTS, "Namespace", "berth-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    homes = {one["metadata"]["namespace"] for one in OBJECTS if one["kind"] not in CLUSTER_KINDS}
    assert homes == {"berth-system"}


def test_what_others_need_comes_before_them() -> None:
    kinds = [one["kind"] for one in OBJECTS]
    assert kinds[0] == "Namespace"
    assert max(i for i, kind in enumerate(kinds) if kind == "CustomResourceDefinition") < kinds.index("Deployment")


def test_nothing_is_left_of_helm() -> None:
    assert "helm" not in chart.PLAIN.read_text(encoding="utf-8").lower()


def test_the_crds_are_those_of_the_types() -> None:
    found = {
        f"{one['spec']['group']}_{one['spec']['names']['plural']}.yaml": one["spec"]
        for one in OBJECTS
        if one["kind"] == "CustomResourceDefinition"
    }
    assert found == {name: crd["spec"] for name, crd in build_crds().items()}


@pytest.mark.parametrize("pod", TEMPLATES)
def test_a_pod_passes_the_restricted_profile(pod: str) -> None:
    spec = TEMPLATES[pod]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for volume in spec["volumes"]:
        assert set(volume) - {"name"} <= {"configMap", "emptyDir", "projected"}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_can_gain_nothing_and_write_nothing(container: str) -> None:
    assert CONTAINERS[container]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("hostPort" not in port for port in CONTAINERS[container]["ports"])


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_says_what_it_needs(container: str) -> None:
    resources = CONTAINERS[container]["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


def test_only_who_talks_to_the_api_server_has_a_token() -> None:
    with_token = {
        name
        for name, container in CONTAINERS.items()
        if any(mount["name"] == "token" for mount in container["volumeMounts"])
    }
    assert with_token == {"berth-operator/operator", "berth-gateway/agent"}
    assert all(template["spec"]["automountServiceAccountToken"] is False for template in TEMPLATES.values())


@pytest.mark.parametrize("pod", TEMPLATES)
def test_a_rollout_takes_no_replica_away(pod: str) -> None:
    spec = chart.pick(OBJECTS, "Deployment", pod)["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = chart.pick(OBJECTS, "PodDisruptionBudget", pod)["spec"]
    assert budget["selector"] == spec["selector"]


def test_the_operator_reads_the_settings_that_the_chart_writes(tmp_path: Path) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text(chart.settings_text(OBJECTS), encoding="utf-8")
    settings = read_settings(file)
    assert settings.namespace == "berth-system"
    assert {name for name, image in settings.images.model_dump().items() if not image} == {"vllm_cpu"}


def test_no_setting_is_left_to_a_default_of_the_code() -> None:
    written = yaml.safe_load(chart.settings_text(OBJECTS))
    assert set(written) == aliases(OperatorSettings)
    for name, part in OperatorSettings.model_fields.items():
        if isinstance(part.annotation, type) and issubclass(part.annotation, Section):
            assert set(written[to_camel(name)]) == aliases(part.annotation), name


def aliases(section: type[Section]) -> set[str]:
    return {to_camel(name) for name in section.model_fields}


def test_the_operator_finds_its_settings_where_they_are_mounted() -> None:
    operator = CONTAINERS["berth-operator/operator"]
    mounts = {mount["name"]: mount["mountPath"] for mount in operator["volumeMounts"]}
    assert operator["args"] == ["--config", f"{mounts['settings']}/operator.yaml"]


def test_the_agent_takes_the_arguments_that_the_chart_gives() -> None:
    options = parse_arguments(CONTAINERS["berth-gateway/agent"]["args"])
    assert (options.namespace, options.agent_port, options.settings.port) == ("berth-system", 8081, 8080)
    assert options.watch_namespaces == options.bare_names == ()
    assert options.drain_timeout_seconds < TEMPLATES["berth-gateway"]["spec"]["terminationGracePeriodSeconds"]


def test_envoy_is_started_as_everywhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy, "find_envoy", lambda: Path("envoy"))
    settings = parse_arguments(CONTAINERS["berth-gateway/agent"]["args"]).settings
    container = CONTAINERS["berth-gateway/envoy"]
    assert (*container["command"], *container["args"]) == envoy.envoy_command(settings)


def test_envoy_is_of_the_version_that_its_configuration_is_checked_against() -> None:
    assert CONTAINERS["berth-gateway/envoy"]["image"] == f"docker.io/envoyproxy/envoy:distroless-v{envoy.VERSION}"


def test_clients_know_one_address() -> None:
    service = chart.pick(OBJECTS, "Service", GATEWAY_SERVICE)["spec"]
    template = TEMPLATES["berth-gateway"]
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    (port,) = service["ports"]
    assert (port["port"], port["targetPort"]) == (80, "http")
    assert {"name": "http", "containerPort": 8080} in CONTAINERS["berth-gateway/envoy"]["ports"]


def test_envoy_starts_when_the_agent_has_written_its_configuration_and_ends_before_it() -> None:
    spec = TEMPLATES["berth-gateway"]["spec"]
    (agent,) = spec["initContainers"]
    assert agent["restartPolicy"] == "Always"
    assert agent["startupProbe"]["httpGet"] == {"path": "/health/live", "port": "agent"}
    shared = [mount for mount in agent["volumeMounts"] if mount in CONTAINERS["berth-gateway/envoy"]["volumeMounts"]]
    assert shared == [{"name": "run", "mountPath": "/run/berth"}]


def test_envoy_drains_before_it_is_ended_and_the_drain_is_bounded() -> None:
    spec = TEMPLATES["berth-gateway"]["spec"]
    hook = CONTAINERS["berth-gateway/envoy"]["lifecycle"]["preStop"]["httpGet"]
    assert hook == {"path": "/drain", "port": 8081}
    assert spec["terminationGracePeriodSeconds"] > chart.default_values()["gateway"]["drainSeconds"]


@pytest.mark.parametrize("pod", TEMPLATES)
def test_no_version_of_the_chart_rolls_a_pod(pod: str) -> None:
    metadata = TEMPLATES[pod]["metadata"]
    assert "0.1.0" not in str(metadata)


def test_the_gateway_takes_requests_from_pods_and_shows_its_agent_to_the_operator_alone() -> None:
    clients, agent = chart.pick(OBJECTS, "NetworkPolicy", "berth-gateway")["spec"]["ingress"]
    assert (clients["ports"][0]["port"], clients["from"]) == (8080, [{"namespaceSelector": {}}])
    labels = TEMPLATES["berth-operator"]["metadata"]["labels"]
    assert agent["ports"][0]["port"] == 8081
    (peer,) = agent["from"]
    assert peer["podSelector"]["matchLabels"].items() <= labels.items()


def test_nobody_connects_to_the_operator_by_default() -> None:
    spec = chart.pick(OBJECTS, "NetworkPolicy", "berth-operator")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert "ingress" not in spec
