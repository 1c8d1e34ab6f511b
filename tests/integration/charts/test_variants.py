"""The chart with other values than its own: namespaces, rights, policies, monitoring, placement."""

from pathlib import Path

import chart
import pytest
from chart import names_of, pick

from berth_gateway.arguments import Options, parse_arguments

pytestmark = pytest.mark.needs("helm")

TEAMS = {"watchNamespaces": ["team-a", "team-b"]}


def test_an_installation_for_namespaces_takes_no_right_of_the_cluster(tmp_path: Path) -> None:
    objects = chart.render(tmp_path, TEAMS)
    assert names_of(objects, "ClusterRole") == {"berth-view", "berth-edit"}
    assert names_of(objects, "ClusterRoleBinding") == set()
    for namespace in TEAMS["watchNamespaces"]:
        for name in ("berth-operator", "berth-gateway"):
            role = pick(objects, "Role", name, namespace)
            whole = pick(chart.render(tmp_path), "ClusterRole", name)
            assert role["rules"] == whole["rules"]
            (subject,) = pick(objects, "RoleBinding", name, namespace)["subjects"]
            assert subject == {"kind": "ServiceAccount", "name": name, "namespace": chart.NAMESPACE}


def test_an_installation_for_namespaces_tells_both_programs(tmp_path: Path) -> None:
    objects = chart.render(tmp_path, TEAMS)
    assert 'watchNamespaces: ["team-a","team-b"]' in chart.settings_text(objects)
    assert "readNodes: false" in chart.settings_text(objects)
    assert options_of(objects).watch_namespaces == ("team-a", "team-b")


def options_of(objects: list[chart.Object]) -> Options:
    """The agent's arguments, as the agent reads them."""
    agent, _ = chart.containers_of(chart.pod_templates(objects)["berth-gateway"])
    return parse_arguments(agent["args"])


def test_values_of_the_gateway_reach_the_agent(tmp_path: Path) -> None:
    values = {"bareNames": ["team-a", "team-b"], "drainSeconds": 7, "accessLog": True, "host": "::"}
    options = options_of(chart.render(tmp_path, {"gateway": values}))
    assert options.bare_names == ("team-a", "team-b")
    assert options.drain_timeout_seconds == 7
    assert options.settings.access_log == "/dev/stdout"
    assert options.settings.host == "::"


def test_nodes_are_read_only_where_that_is_wanted(tmp_path: Path) -> None:
    assert "berth-operator-nodes" in names_of(chart.render(tmp_path), "ClusterRole")
    objects = chart.render(tmp_path, {"readNodes": False})
    assert "berth-operator-nodes" not in names_of(objects, "ClusterRole")
    assert "readNodes: false" in chart.settings_text(objects)


def test_rights_may_be_somebody_else_s_affair(tmp_path: Path) -> None:
    objects = chart.render(tmp_path, {"rbac": {"create": False, "userRoles": False}})
    assert not [one for one in objects if one["apiVersion"].startswith("rbac")]


def test_crds_stay_when_the_release_goes_and_may_be_left_out(tmp_path: Path) -> None:
    for name in ("models.berth.dev", "modelroutes.berth.dev"):
        kept = pick(chart.render(tmp_path), "CustomResourceDefinition", name)
        assert kept["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        loose = pick(chart.render(tmp_path, {"crds": {"keep": False}}), "CustomResourceDefinition", name)
        assert "annotations" not in loose["metadata"]
    assert not names_of(chart.render(tmp_path, {"crds": {"install": False}}), "CustomResourceDefinition")


def test_everything_is_in_the_namespace_of_the_release(tmp_path: Path) -> None:
    objects = chart.render(tmp_path, {"monitoring": {"scrape": "ServiceMonitor"}}, namespace="elsewhere")
    homes = {one["metadata"].get("namespace") for one in objects}
    assert homes == {"elsewhere", None}
    assert "namespace: elsewhere" in chart.settings_text(objects)


def test_prometheus_is_let_in_by_its_labels(tmp_path: Path) -> None:
    objects = chart.render(tmp_path, chart.values_at("monitoring.podLabels", {"app": "prometheus"}))
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "prometheus"}}}
    operator = pick(objects, "NetworkPolicy", "berth-operator")["spec"]["ingress"]
    assert operator == [{"from": [peer], "ports": [{"port": 8080, "protocol": "TCP"}]}]
    _, agent = pick(objects, "NetworkPolicy", "berth-gateway")["spec"]["ingress"]
    assert peer in agent["from"]


def test_the_gateway_may_be_open_to_everybody_or_to_some(tmp_path: Path) -> None:
    def clients(peers: list[chart.Object]) -> chart.Object:
        objects = chart.render(tmp_path, chart.values_at("networkPolicies.gatewayFrom", peers))
        rule: chart.Object = pick(objects, "NetworkPolicy", "berth-gateway")["spec"]["ingress"][0]
        return rule

    assert "from" not in clients([])
    some = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert clients(some)["from"] == some


def test_policies_may_be_left_out(tmp_path: Path) -> None:
    assert not names_of(chart.render(tmp_path, {"networkPolicies": {"enabled": False}}), "NetworkPolicy")


@pytest.mark.parametrize(
    ("scrape", "services", "service_monitors", "pod_monitors"),
    [
        ("None", set(), set(), set()),
        ("Services", {"berth-operator-metrics", "berth-gateway-metrics"}, set(), set()),
        (
            "ServiceMonitor",
            {"berth-operator-metrics", "berth-gateway-metrics"},
            {"berth-operator", "berth-gateway"},
            {"berth-models"},
        ),
        ("PodMonitor", set(), set(), {"berth-operator", "berth-gateway", "berth-models"}),
    ],
)
def test_monitoring_is_made_as_asked(
    tmp_path: Path, scrape: str, services: set[str], service_monitors: set[str], pod_monitors: set[str]
) -> None:
    objects = chart.render(tmp_path, {"monitoring": {"scrape": scrape, "monitorLabels": {"release": "prometheus"}}})
    assert names_of(objects, "Service") - {"berth-gateway"} == services
    assert names_of(objects, "ServiceMonitor") == service_monitors
    assert names_of(objects, "PodMonitor") == pod_monitors
    for monitor in (one for one in objects if one["kind"].endswith("Monitor")):
        assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_a_monitor_finds_the_port_that_it_names(tmp_path: Path) -> None:
    objects = chart.render(tmp_path, {"monitoring": {"scrape": "PodMonitor"}})
    for name, template in chart.pod_templates(objects).items():
        monitor = pick(objects, "PodMonitor", name)["spec"]
        ports = {port["name"] for container in chart.containers_of(template) for port in container["ports"]}
        assert monitor["podMetricsEndpoints"][0]["port"] in ports
        assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_whoever_looks_for_gateways_finds_no_second_service(tmp_path: Path) -> None:
    objects = chart.render(tmp_path, {"monitoring": {"scrape": "Services"}})
    gateways = [
        one["metadata"]["name"]
        for one in objects
        if one["kind"] == "Service" and one["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway"
    ]
    assert gateways == ["berth-gateway"]


@pytest.mark.parametrize("component", ["operator", "gateway"])
def test_pods_go_where_they_are_sent(tmp_path: Path, component: str) -> None:
    placement = {
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    }
    more = {"podLabels": {"team": "platform"}, "podAnnotations": {"note": "x"}}
    objects = chart.render(tmp_path, {component: placement | more, "global": {"imagePullSecrets": ["mirror"]}})
    template = chart.pod_templates(objects)[f"berth-{component}"]
    assert placement.items() <= template["spec"].items()
    assert template["spec"]["imagePullSecrets"] == [{"name": "mirror"}]
    assert template["metadata"]["labels"]["team"] == "platform"
    assert template["metadata"]["annotations"]["note"] == "x"


def test_replicas_spread_over_nodes_where_nothing_else_is_asked(tmp_path: Path) -> None:
    for template in chart.pod_templates(chart.render(tmp_path)).values():
        (constraint,) = template["spec"]["topologySpreadConstraints"]
        assert constraint["topologyKey"] == "kubernetes.io/hostname"
        assert constraint["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_a_longer_drain_gets_a_longer_grace(tmp_path: Path) -> None:
    template = chart.pod_templates(chart.render(tmp_path, chart.values_at("gateway.drainSeconds", 600)))[
        "berth-gateway"
    ]
    assert template["spec"]["terminationGracePeriodSeconds"] == 630


def test_the_number_of_gateways_may_be_left_to_an_autoscaler(tmp_path: Path) -> None:
    objects = chart.render(tmp_path, {"gateway": {"replicas": None}})
    assert "replicas" not in pick(objects, "Deployment", "berth-gateway")["spec"]
