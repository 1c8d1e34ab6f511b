"""What a Model on several nodes has besides its head: members that compute with it, and the Service they find it by.

The head is the Model's own Deployment, which serves, scales and is reported on like any other. A member is the same pod
with the head's address, and takes no requests. The runtime sees to it that they start and end together, so a new
revision takes the place of the old one whole: `berth_runtime.vllm`.
"""

from typing import Any

from berth_api.launch import GROUP_PORT, Launch, member_argv
from berth_api.model import Model
from berth_api.names import model_labels
from berth_kube.resources import DEPLOYMENTS, SERVICES
from berth_operator.children.deployment import deployment_content
from berth_operator.children.metadata import Manifest, build_child, member_labels
from berth_operator.children.names import group_name, members_name
from berth_operator.children.restricted import escape_arguments

_SERVING = ("ports", "lifecycle", "startupProbe", "readinessProbe", "livenessProbe")
"""What a container has that takes requests. The runtime of a member judges by itself whether it lives."""


def build_members(model: Model, launch: Launch, template: Manifest) -> Manifest:
    """The Deployment of the members, where `launch` is what the head starts and `template` is its pod's.

    They have no order: the head gives each a rank. All old ones go at once, for they are of no use without each other.
    """
    name, rolling = model.metadata.name, {"maxSurge": 0, "maxUnavailable": "100%"}
    replicas, member = model.spec.group_size - 1, _member(model, launch, template)
    content = deployment_content(model, replicas, member_labels(name), rolling, member)
    return build_child(DEPLOYMENTS, model, members_name(name), content)


def build_group_service(model: Model) -> Manifest:
    """The Service that leads to the head while it is not ready, which it is not before its members have come."""
    port = {"name": "group", "port": GROUP_PORT, "targetPort": GROUP_PORT, "protocol": "TCP"}
    selector = model_labels(model.metadata.name)
    content = {"spec": {"selector": selector, "ports": [port], "publishNotReadyAddresses": True}}
    return build_child(SERVICES, model, group_name(model.metadata.name), content)


def _member(model: Model, launch: Launch, template: Manifest) -> Manifest:
    metadata, spec = template["metadata"], template["spec"]
    (engine,) = spec["containers"]
    kept: dict[str, Any] = {name: value for name, value in engine.items() if name not in _SERVING}
    command = escape_arguments(list(member_argv(launch.argv, group_name(model.metadata.name))))
    labels = {**metadata["labels"], **member_labels(model.metadata.name)}
    return {
        "metadata": {**metadata, "labels": labels},
        "spec": {**spec, "containers": [{**kept, "command": command}]},
    }
