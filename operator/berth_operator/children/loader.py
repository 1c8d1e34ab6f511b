"""What resolver and loader share: which registries they may reach in which way, and the pull Secret of their Model.

Both are programs of the `fetch` image; their command lines are the contract with `berth_store`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from berth_api.model import Model
from berth_operator.children.metadata import Manifest
from berth_operator.children.names import (
    FETCH_CONTAINER,
    MODELS_PATH,
    PROGRESS_PORT,
    PROGRESS_PORT_NAME,
    RESOLVE_CONTAINER,
)
from berth_operator.children.restricted import TEMPORARY_PATH, container_security, escape_arguments, temporary_mount
from berth_operator.resolution import pinned_digest
from berth_operator.settings import OperatorSettings

MODELS_VOLUME: Final = "models"
_REGISTRY_VOLUME: Final = "registry"
_REGISTRY_PATH: Final = "/var/run/secrets/berth/registry"
_GROUP_MAY_READ: Final = 0o440
_RESOURCES: Final = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
"""What a pull takes with its connections and hashes, where the administrator names nothing."""


def build_fetch_container(model: Model, digest: str | None, settings: OperatorSettings) -> Manifest:
    """The init container that brings the files: it writes the model's volume and tells its progress on a port."""
    options = ["--source", model.spec.source.uri, *(["--digest", digest] if digest else [])]
    command = ["python", "-m", "berth_store.loader", *options, "--into", MODELS_PATH]
    container = _build_container(FETCH_CONTAINER, [*command, "--progress-port", str(PROGRESS_PORT)], model, settings)
    container["ports"] = [{"name": PROGRESS_PORT_NAME, "containerPort": PROGRESS_PORT, "protocol": "TCP"}]
    container["volumeMounts"].append({"name": MODELS_VOLUME, "mountPath": MODELS_PATH})
    return container


def build_resolver_container(model: Model, settings: OperatorSettings) -> Manifest:
    """The container that finds out what the source holds and says it in its termination message."""
    spec = model.spec
    digest = pinned_digest(spec.source)
    options = ["--source", spec.source.uri, *(["--digest", digest] if digest else [])]
    if spec.artifact.format is not None:
        options += ["--format", spec.artifact.format]
    if spec.chat_template is not None:
        options += ["--own-template"]
    command = ["python", "-m", "berth_store.resolver", *options, "--task", spec.task, "--engine", spec.engine.type]
    return _build_container(RESOLVE_CONTAINER, [str(part) for part in command], model, settings)


def registry_volumes(model: Model) -> list[Manifest]:
    """The pull Secret, if the Model names one.

    It is optional for the kubelet: a pod without it starts and says that the registry refuses it, whereas a mount
    that fails would tell nobody but those who read the pod's events.
    """
    secret = model.spec.source.secret_ref
    if secret is None:
        return []
    items = [{"key": ".dockerconfigjson", "path": "config.json"}]
    content = {"secretName": secret.name, "items": items, "defaultMode": _GROUP_MAY_READ, "optional": True}
    return [{"name": _REGISTRY_VOLUME, "secret": content}]


def _build_container(name: str, command: list[str], model: Model, settings: OperatorSettings) -> Manifest:
    container: Manifest = {
        "name": name,
        "image": settings.images.fetch,
        "imagePullPolicy": settings.image_pull_policy,
        "command": escape_arguments(command),
        "env": list(_environment(model, settings)),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": [temporary_mount()],
        "resources": _plain(settings.loader.resources or _RESOURCES),
    }
    if model.spec.source.secret_ref is not None:
        container["volumeMounts"].append({"name": _REGISTRY_VOLUME, "mountPath": _REGISTRY_PATH, "readOnly": True})
    return container


def _environment(model: Model, settings: OperatorSettings) -> Iterator[Manifest]:
    ours = {"HOME": TEMPORARY_PATH}
    if settings.loader.insecure_registries:
        ours["BERTH_INSECURE_REGISTRIES"] = ",".join(settings.loader.insecure_registries)
    if model.spec.source.secret_ref is not None:
        ours["DOCKER_CONFIG"] = _REGISTRY_PATH
    for name, value in ours.items():
        yield {"name": name, "value": value}
    for variable in settings.loader.env:
        if variable.name not in ours:
            yield {"name": variable.name, "value": variable.value}


def _plain(resources: Mapping[str, Mapping[str, str]]) -> Manifest:
    return {kind: dict(amounts) for kind, amounts in sorted(resources.items()) if amounts}
