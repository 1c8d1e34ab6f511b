"""Who may talk to a Model's pods, and when they may talk to others.

Policies add up, so there are two: one closes the engine's pods to all but the gateway, the operator and the monitoring;
the other lets out whatever carries the label `berth.dev/loading`. The operator takes that label off when the weights
are there, and from then on the engine reaches nobody. Pods that compute together have a third, for each other alone:
what vLLM's processes send between nodes is Python pickles, so whoever can reach their ports can run code there.
"""

from typing import Final

from berth_api.model import Model
from berth_api.names import LABEL_COMPONENT, LABEL_LOADING, LABEL_MODEL, LABEL_NAME, MANAGED_BY, model_labels
from berth_kube.resources import NETWORK_POLICIES
from berth_operator.children.metadata import Manifest, build_child, group_selector
from berth_operator.children.names import ENGINE_PORT, PROGRESS_PORT, engine_name, group_name, loading_name
from berth_operator.settings import OperatorSettings

_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
_NAMES_PORT: Final = 53
"""Where names are asked for. Whose port it is differs by cluster: a Service's, or one of the node itself."""


def build_engine_policy(model: Model, settings: OperatorSettings) -> Manifest:
    """Nobody gets in but those who must, and nothing gets out."""
    ingress = [
        {"from": [_part_of_berth("gateway", settings)], "ports": _ports(ENGINE_PORT)},
        {"from": [_part_of_berth("operator", settings)], "ports": _ports(ENGINE_PORT, PROGRESS_PORT)},
    ]
    if settings.monitoring_labels:
        scraper = {"namespaceSelector": {}, "podSelector": {"matchLabels": dict(settings.monitoring_labels)}}
        ingress.append({"from": [scraper], "ports": _ports(ENGINE_PORT)})
    content = {
        "spec": {
            "podSelector": {"matchLabels": model_labels(model.metadata.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
        }
    }
    return build_child(NETWORK_POLICIES, model, engine_name(model.metadata.name), content)


def build_group_policy(model: Model, settings: OperatorSettings) -> Manifest:
    """The pods of a group talk to each other on every port, and ask for the name of the head. Nobody else gets in."""
    selector = group_selector(model.metadata.name)
    group = [{"podSelector": selector}]
    names = [{"port": _NAMES_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")]
    content = {
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": group},
                {"from": [_part_of_berth("operator", settings)], "ports": _ports(PROGRESS_PORT)},
            ],
            "egress": [{"to": group}, {"ports": names}],
        }
    }
    return build_child(NETWORK_POLICIES, model, group_name(model.metadata.name), content)


def build_loading_policy(model: Model) -> Manifest:
    """Pods that load, and resolvers, get out to wherever the weights are."""
    selector = {
        "matchLabels": {LABEL_MODEL: model.metadata.name},
        "matchExpressions": [{"key": LABEL_LOADING, "operator": "Exists"}],
    }
    content = {"spec": {"podSelector": selector, "policyTypes": ["Egress"], "egress": [{}]}}
    return build_child(NETWORK_POLICIES, model, loading_name(model.metadata.name), content)


def _part_of_berth(component: str, settings: OperatorSettings) -> Manifest:
    return {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: settings.namespace}},
        "podSelector": {"matchLabels": {LABEL_NAME: MANAGED_BY, LABEL_COMPONENT: component}},
    }


def _ports(*ports: int) -> list[Manifest]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
