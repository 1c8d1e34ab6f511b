"""The PodDisruptionBudget of a Model with several replicas: a drain of nodes takes them one by one.

A Model with one replica gets none: it would only keep its node from ever being drained.
"""

from berth_api.model import Model
from berth_api.names import model_labels
from berth_kube.resources import DISRUPTION_BUDGETS
from berth_operator.children.metadata import Manifest, build_child
from berth_operator.children.names import engine_name


def build_disruption_budget(model: Model) -> Manifest | None:
    """The budget, or None where there should be none."""
    if model.spec.suspend or model.spec.replicas < 2:
        return None
    selector = {"matchLabels": model_labels(model.metadata.name)}
    # A pod that does not answer may go whatever the budget says: a node is not kept for what does not serve.
    content = {"spec": {"maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"}}
    return build_child(DISRUPTION_BUDGETS, model, engine_name(model.metadata.name), content)
