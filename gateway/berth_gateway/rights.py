"""What the agent may do at the API server: read three kinds, write nothing. The chart's role is checked against it."""

from collections.abc import Mapping

from berth_api.meta import GROUP
from berth_kube.resources import ENDPOINT_SLICES, Resource

MODELS = Resource(GROUP, "v1alpha1", "models", "Model")
MODEL_ROUTES = Resource(GROUP, "v1alpha1", "modelroutes", "ModelRoute")

RIGHTS: Mapping[Resource, tuple[str, ...]] = {
    MODELS: ("list", "watch"),
    MODEL_ROUTES: ("list", "watch"),
    ENDPOINT_SLICES: ("list", "watch"),
}
"""Verbs by kind, in every namespace that is watched."""
