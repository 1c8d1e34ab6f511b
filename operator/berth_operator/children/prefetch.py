"""The DaemonSet that has a Model's image on every node that may run the Model, before a pod of it comes there.

Its pods mount the image and rest: the node pulls it for them, and frees no image that a pod uses. They run the engine's
own image, so that this is there as well. What such a pod asks for is next to nothing, and no GPU.
"""

from typing import Any, Final

from berth_api.names import LABEL_COMPONENT, model_labels
from berth_kube.resources import DAEMON_SETS
from berth_operator.children.metadata import Manifest, build_child
from berth_operator.children.names import PREFETCH_COMPONENT, PREFETCH_CONTAINER, prefetch_name
from berth_operator.children.options import as_given
from berth_operator.children.place import IMAGE_PATH, image_volume
from berth_operator.children.pod import Serving, chosen_nodes, node_pull_secrets
from berth_operator.children.restricted import container_security, escape_arguments, pod_security
from berth_operator.settings import OperatorSettings

_AT_ONCE: Final = "25%"
"""How many nodes may pull a new image at the same time: a registry serves all of them."""
_RESOURCES: Final = {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
_END_SECONDS: Final = 1


def build_prefetch(serving: Serving, settings: OperatorSettings) -> Manifest:
    """The DaemonSet. It stays while the Model is suspended: then a start is quick."""
    model = serving.model
    labels = {**model_labels(model.metadata.name), LABEL_COMPONENT: PREFETCH_COMPONENT}
    metadata: Manifest = {"labels": {**model.spec.pod.labels, **labels}}
    if model.spec.pod.annotations:
        metadata["annotations"] = dict(model.spec.pod.annotations)
    content = {
        "spec": {
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": _AT_ONCE}},
            "template": {"metadata": metadata, "spec": _pod(serving, settings)},
        }
    }
    return build_child(DAEMON_SETS, model, prefetch_name(model.metadata.name), content)


def _pod(serving: Serving, settings: OperatorSettings) -> Manifest:
    options = serving.model.spec.pod
    affinity = as_given(options.affinity) if options.affinity is not None else {}
    # What pods want near or far of one another says nothing of the nodes that have to have the image.
    on_nodes = {"nodeAffinity": affinity["nodeAffinity"]} if "nodeAffinity" in affinity else {}
    volume, mount = image_volume(serving.model, serving.artifact)
    said: dict[str, Any] = {
        **chosen_nodes(serving),
        "affinity": on_nodes,
        "serviceAccountName": options.service_account_name,
        "imagePullSecrets": node_pull_secrets(serving, settings),
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": _END_SECONDS,
        "containers": [
            {
                "name": PREFETCH_CONTAINER,
                "image": serving.image,
                "imagePullPolicy": settings.image_pull_policy,
                "command": escape_arguments(["python", "-m", "berth_runtime.prefetched", "--volume", IMAGE_PATH]),
                # Where the container runtime hands out GPUs by images' own variables, this one gets none.
                "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": container_security(),
                "volumeMounts": [mount],
                "resources": _RESOURCES,
            }
        ],
        "volumes": [volume],
        **{name: value for name, value in said.items() if value},
    }
