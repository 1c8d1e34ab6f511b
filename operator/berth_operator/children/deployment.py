"""The Deployment of a Model's engine. Its annotations remember what a restart of the operator must not forget."""

from collections.abc import Mapping
from types import MappingProxyType

from berth_api.model import Model
from berth_api.names import (
    ANNOTATION_DIGEST,
    ANNOTATION_EXTRAS,
    ANNOTATION_PROFILE,
    ANNOTATION_RESOLUTION,
    model_labels,
)
from berth_kube.resources import DEPLOYMENTS
from berth_operator.children.metadata import Manifest, build_child
from berth_operator.children.names import engine_name
from berth_operator.children.pod import Serving
from berth_operator.resolution import Resolution, render_extras, render_resolution

_LONGEST_SECONDS = 2**31 - 1


def build_deployment(
    serving: Serving,
    resolution: Resolution,
    template: Manifest,
    *,
    surge: bool,
    extras: Mapping[str, Resolution] = MappingProxyType({}),
) -> Manifest:
    """The Deployment. With `surge` a new pod starts before an old one ends; else the old one frees its GPUs first."""
    model = serving.model
    replicas, labels = model.spec.replicas, model_labels(model.metadata.name)
    content = deployment_content(model, replicas, labels, rolling_update(surge=surge), template)
    annotations = _annotations(serving, resolution, extras)
    return build_child(DEPLOYMENTS, model, engine_name(model.metadata.name), content, annotations)


def deployment_content(
    model: Model, replicas: int, labels: Mapping[str, str], rolling: Manifest, template: Manifest
) -> Manifest:
    """What all Deployments of a Model say: `replicas` pods with these `labels`, or none while it is suspended."""
    spec = model.spec
    return {
        "spec": {
            "replicas": 0 if spec.suspend else replicas,
            # Said, so that one whom somebody has paused goes on: it would stand still without a word.
            "paused": False,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": min(max(spec.rollout.start_deadline.seconds, 1), _LONGEST_SECONDS),
            "selector": {"matchLabels": dict(labels)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": template,
        }
    }


def rolling_update(*, surge: bool) -> Manifest:
    """How many pods may be there above what is wanted, and how many may be missing."""
    return {"maxSurge": 1, "maxUnavailable": 0} if surge else {"maxSurge": 0, "maxUnavailable": 1}


def _annotations(serving: Serving, resolution: Resolution, extras: Mapping[str, Resolution]) -> dict[str, str]:
    annotations = {ANNOTATION_RESOLUTION: render_resolution(resolution)}
    if extras:
        annotations[ANNOTATION_EXTRAS] = render_extras(extras)
    if serving.artifact.digest:
        annotations[ANNOTATION_DIGEST] = serving.artifact.digest
    if serving.placement.name:
        annotations[ANNOTATION_PROFILE] = serving.placement.name
    return annotations
