"""The pod that serves a Model: the loader first, then the engine. Nothing of the operator's own version is in it.

So an upgrade of Berth restarts no model unless it changes the images, which the administrator decides by the settings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from berth_api.artifact import Artifact
from berth_api.launch import GROUP_REVISION_VARIABLE, Launch
from berth_api.model import Model
from berth_api.names import LABEL_LOADING, LABEL_REVISION, model_labels
from berth_api.pod import EnvVar, PodOptions
from berth_operator.children.engine_volumes import engine_mounts, engine_variables, engine_volumes
from berth_operator.children.loader import build_extra_container, build_fetch_container, source_volumes
from berth_operator.children.metadata import Manifest, group_selector, hash_of
from berth_operator.children.names import (
    ENGINE_CONTAINER,
    ENGINE_PORT,
    ENGINE_PORT_NAME,
    TEMPLATE_FOLDER,
)
from berth_operator.children.options import as_given, pull_secrets
from berth_operator.children.place import ExtraPlace, Place
from berth_operator.children.probes import build_probes, start_seconds
from berth_operator.children.resources import build_resources
from berth_operator.children.restricted import (
    TEMPORARY_PATH,
    container_security,
    escape_arguments,
    pod_security,
    temporary_mount,
    temporary_volume,
)
from berth_operator.children.signature import signature_volumes
from berth_operator.placement import Placement
from berth_operator.settings import OperatorSettings

LEAVE_SECONDS: Final = 5
"""A pod that ends goes on serving for so long, because the gateway has still to hear of it."""
_END_SECONDS: Final = 10
_TEMPLATE_VOLUME: Final = "chat-template"
_REVISION_LENGTH: Final = 10


@dataclass(frozen=True)
class Serving:
    """Everything that a Model's pods are made from. `revision` is where its files were found, if there are several.

    The size of `artifact` is that of all that is fetched, with the extras.
    """

    model: Model
    artifact: Artifact
    launch: Launch
    image: str
    placement: Placement
    place: Place
    extras: tuple[ExtraPlace, ...] = ()
    revision: str = ""


def build_pod_template(serving: Serving, settings: OperatorSettings) -> Manifest:
    """The pod template. Its label `berth.dev/revision` names its content, so that pods tell which one they are of."""
    template: Manifest = {"metadata": _metadata(serving), "spec": _spec(serving, settings)}
    template["metadata"]["labels"][LABEL_REVISION] = hash_of(template, _REVISION_LENGTH)
    return template


def _metadata(serving: Serving) -> Manifest:
    model = serving.model
    labels = {**model.spec.pod.labels, **model_labels(model.metadata.name)}
    if serving.place.fetches:
        labels[LABEL_LOADING] = ""
    metadata: Manifest = {"labels": labels}
    if model.spec.pod.annotations:
        metadata["annotations"] = dict(model.spec.pod.annotations)
    return metadata


def _spec(serving: Serving, settings: OperatorSettings) -> Manifest:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**pod_security(), **(serving.place.security or {})},
        "terminationGracePeriodSeconds": LEAVE_SECONDS + serving.launch.drain_timeout_seconds + _END_SECONDS,
        "initContainers": [_fetch(serving, settings), *_fetch_extras(serving, settings)],
        "containers": [_engine(serving, settings)],
        "volumes": [
            *_volumes(serving, settings),
            *engine_volumes(serving.model, serving.launch.engine),
            temporary_volume(),
        ],
        **dict(_chosen_by_user(serving, settings)),
    }


def _fetch(serving: Serving, settings: OperatorSettings) -> Manifest:
    digest, revision = serving.artifact.digest, serving.revision
    spec = serving.model.spec
    return build_fetch_container(spec.source, digest, serving.place, settings, revision=revision, trust=spec.trust)


def _fetch_extras(serving: Serving, settings: OperatorSettings) -> Iterator[Manifest]:
    return (build_extra_container(extra, serving.place, settings) for extra in serving.extras)


def _engine(serving: Serving, settings: OperatorSettings) -> Manifest:
    launch = serving.launch
    container: Manifest = {
        "name": ENGINE_CONTAINER,
        "image": serving.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": escape_arguments(list(launch.argv)),
        "env": [
            *_environment(serving.model.spec.pod.env, engine_variables(launch.engine)),
            *_group_environment(serving.model),
        ],
        "ports": [{"name": ENGINE_PORT_NAME, "containerPort": ENGINE_PORT, "protocol": "TCP"}],
        "lifecycle": {"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": [*_mounts(serving), *engine_mounts(serving.model, launch.engine)],
        **build_probes(launch, start_seconds(serving.model, serving.artifact, launch.engine)),
    }
    resources = build_resources(
        serving.model, serving.artifact, serving.placement, launch.engine, on_node=serving.place.on_node
    )
    return {**container, "resources": resources} if resources else container


def _environment(variables: tuple[EnvVar, ...], ours: Mapping[str, str]) -> list[Manifest]:
    """The user's variables as they stand, and ours unless they name them too: a HOME that can be written to, and more.

    Ours come last: what the API server says of `env[2]` is then true of the user's list too.
    """
    found: list[Manifest] = []
    for variable in variables:
        if variable.value_from is None:
            found.append({"name": variable.name, "value": variable.value or ""})
        else:
            found.append({"name": variable.name, "valueFrom": as_given(variable.value_from)})
    named = {variable.name for variable in variables}
    ours = {"HOME": TEMPORARY_PATH, **ours}
    return found + [{"name": name, "value": value} for name, value in ours.items() if name not in named]


def _group_environment(model: Model) -> Iterator[Manifest]:
    """Which revision a pod of a group is of. The template can't say so itself: the revision is its own content's."""
    if model.spec.group_size > 1:
        field = {"fieldPath": f"metadata.labels['{LABEL_REVISION}']"}
        yield {"name": GROUP_REVISION_VARIABLE, "valueFrom": {"fieldRef": field}}


def _mounts(serving: Serving) -> Iterator[Manifest]:
    model = serving.model
    yield from serving.place.engine_mounts
    yield temporary_mount()
    if model.spec.chat_template is not None:
        yield {"name": _TEMPLATE_VOLUME, "mountPath": TEMPLATE_FOLDER, "readOnly": True}


def _volumes(serving: Serving, settings: OperatorSettings) -> Iterator[Manifest]:
    model = serving.model
    yield from serving.place.volumes
    if serving.place.fetches:
        sources = [(model.spec.source, ""), *((extra.source, extra.key) for extra in serving.extras)]
        yield from source_volumes(sources, settings)
        for source, suffix in sources:
            yield from signature_volumes(source, suffix)
    if model.spec.chat_template is not None:
        reference = model.spec.chat_template.config_map_ref
        items = [{"key": reference.key, "path": reference.key}]
        yield {"name": _TEMPLATE_VOLUME, "configMap": {"name": reference.name, "items": items}}


def chosen_nodes(serving: Serving) -> Manifest:
    """Which nodes the user and the profile allow, but for affinity."""
    options, profile = serving.model.spec.pod, serving.placement.profile
    tolerations = [as_given(toleration) for toleration in options.tolerations]
    tolerations += [dict(one) for one in (profile.tolerations if profile else ()) if dict(one) not in tolerations]
    selector = {**options.node_selector, **(profile.node_selector if profile else {})}
    return {"nodeSelector": selector, "tolerations": tolerations}


def _chosen_by_user(serving: Serving, settings: OperatorSettings) -> Iterator[tuple[str, Any]]:
    """What the user and the profile say of the pod, each only if it says anything."""
    options, profile = serving.model.spec.pod, serving.placement.profile
    runtime_class = options.runtime_class_name or (profile.runtime_class_name if profile else "")
    said = {
        **chosen_nodes(serving),
        "affinity": _affinity(options, serving.place),
        "topologySpreadConstraints": list(_spread(serving.model)),
        "priorityClassName": options.priority_class_name,
        "runtimeClassName": runtime_class,
        "serviceAccountName": options.service_account_name,
        "imagePullSecrets": node_pull_secrets(serving, settings),
    }
    return ((name, value) for name, value in said.items() if value)


def _affinity(options: PodOptions, place: Place) -> Manifest:
    """The user's, and after it where the volume asks to be."""
    affinity = as_given(options.affinity) if options.affinity is not None else {}
    if place.near is None:
        return affinity
    pods = affinity.get("podAffinity", {})
    required = [*pods.get("requiredDuringSchedulingIgnoredDuringExecution", ()), place.near]
    return {**affinity, "podAffinity": {**pods, "requiredDuringSchedulingIgnoredDuringExecution": required}}


def node_pull_secrets(serving: Serving, settings: OperatorSettings) -> list[Manifest]:
    """What the node pulls images with. Where it fetches the artifact, it needs the source's Secret too."""
    found = pull_secrets(serving.model.spec.pod, settings)
    secret = serving.model.spec.source.secret_ref
    if serving.place.fetches or secret is None or {"name": secret.name} in found:
        return found
    return [*found, {"name": secret.name}]


def _own_pods(model: Model) -> Manifest:
    name = model.metadata.name
    return group_selector(name) if model.spec.group_size > 1 else {"matchLabels": model_labels(name)}


def _spread(model: Model) -> Iterator[Manifest]:
    for constraint in model.spec.pod.topology_spread_constraints:
        written = as_given(constraint)
        if constraint.label_selector is None:
            written["labelSelector"] = _own_pods(model)
        yield written
