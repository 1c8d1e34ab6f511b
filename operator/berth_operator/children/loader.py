"""What resolver and loader share: which sources they may reach in which way, and the pull Secret of their Model.

Both are programs of the `fetch` image; their command lines are the contract with `berth_store`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from berth_api.model import Model
from berth_api.source import Source
from berth_operator.children.metadata import Manifest
from berth_operator.children.names import (
    FETCH_CONTAINER,
    PROGRESS_PORT,
    PROGRESS_PORT_NAME,
    RESOLVE_CONTAINER,
)
from berth_operator.children.place import Place
from berth_operator.children.restricted import TEMPORARY_PATH, container_security, escape_arguments, temporary_mount
from berth_operator.children.signature import signature_mounts, signature_options
from berth_operator.resolution import pinned_digest
from berth_operator.settings import OperatorSettings

_GROUP_MAY_READ: Final = 0o440
_RESOURCES: Final = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
"""What a pull takes with its connections and hashes, where the administrator names nothing."""


@dataclass(frozen=True)
class _Login:
    """How a kind of source gets a Secret: the volume and its path, the variable that names that, and what of the
    Secret is mounted, each key under its file's name. Nothing else that it may hold gets into a pod.
    """

    volume: str
    path: str
    variable: str
    files: Mapping[str, str]


_REGISTRY: Final = _Login(
    "registry", "/var/run/secrets/berth/registry", "DOCKER_CONFIG", {".dockerconfigjson": "config.json"}
)


def _source_login(*keys: str) -> _Login:
    return _Login("source", "/var/run/secrets/berth/source", "BERTH_SOURCE_SECRET", {key: key for key in keys})


_LOGINS: Final = {
    "hf": _source_login("host", "token", "username", "password"),
    "https": _source_login("host", "token", "username", "password"),
    "s3": _source_login("accessKeyId", "secretAccessKey", "sessionToken", "endpoint", "region"),
}
"""By the scheme of the source; every other is a registry's."""


def build_fetch_container(
    model: Model, digest: str | None, place: Place, settings: OperatorSettings, *, revision: str = ""
) -> Manifest:
    """The init container that brings the files to their place and tells its progress on a port, or that looks whether
    the node has brought them. `digest` and `revision` are those that were resolved.
    """
    program, *options = place.program
    command = ["python", "-m", program]
    if place.fetches:
        command += [*_source_options(model.spec.source, digest), *(["--revision", revision] if revision else [])]
        options += ["--progress-port", str(PROGRESS_PORT)]
    container = _build_container(FETCH_CONTAINER, [*command, *options], model, settings, logs_in=place.fetches)
    if place.fetches:
        container["ports"] = [{"name": PROGRESS_PORT_NAME, "containerPort": PROGRESS_PORT, "protocol": "TCP"}]
    container["volumeMounts"] += place.loader_mounts
    return container


def build_resolver_container(model: Model, settings: OperatorSettings) -> Manifest:
    """The container that finds out what the source holds and says it in its termination message."""
    spec = model.spec
    options = _source_options(spec.source, pinned_digest(spec.source))
    if spec.artifact.format is not None:
        options += ["--format", spec.artifact.format]
    if spec.chat_template is not None:
        options += ["--own-template"]
    command = ["python", "-m", "berth_store.resolver", *options, "--task", spec.task, "--engine", spec.engine.type]
    return _build_container(RESOLVE_CONTAINER, [str(part) for part in command], model, settings)


def secret_volumes(model: Model) -> list[Manifest]:
    """The source's Secret, if the Model names one: of a registry Docker's own file, of others the keys they know.

    It is optional for the kubelet: a pod without it starts and says that the source refuses it, whereas a mount
    that fails would tell nobody but those who read the pod's events.
    """
    secret = model.spec.source.secret_ref
    if secret is None:
        return []
    login = _login_of(model)
    items = [{"key": key, "path": path} for key, path in login.files.items()]
    content = {"secretName": secret.name, "items": items, "defaultMode": _GROUP_MAY_READ, "optional": True}
    return [{"name": login.volume, "secret": content}]


def _source_options(source: Source, digest: str | None) -> list[str]:
    patterns = [f"--files={pattern}" for pattern in source.files]
    pinned = ["--digest", digest] if digest else []
    return ["--source", source.uri, *pinned, *patterns, *signature_options(source.signature)]


def _login_of(model: Model) -> _Login:
    return _LOGINS.get(model.spec.source.uri.partition("://")[0], _REGISTRY)


def _build_container(
    name: str, command: list[str], model: Model, settings: OperatorSettings, *, logs_in: bool = True
) -> Manifest:
    container: Manifest = {
        "name": name,
        "image": settings.images.fetch,
        "imagePullPolicy": settings.image_pull_policy,
        "command": escape_arguments(command),
        "env": list(_environment(model, settings, logs_in=logs_in)),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": [temporary_mount()],
        "resources": _plain(settings.loader.resources or _RESOURCES),
    }
    if logs_in and model.spec.source.secret_ref is not None:
        login = _login_of(model)
        container["volumeMounts"].append({"name": login.volume, "mountPath": login.path, "readOnly": True})
    if logs_in:
        container["volumeMounts"] += signature_mounts(model)
    return container


def _environment(model: Model, settings: OperatorSettings, *, logs_in: bool) -> Iterator[Manifest]:
    ours = {"HOME": TEMPORARY_PATH}
    if settings.loader.insecure_registries:
        ours["BERTH_INSECURE_REGISTRIES"] = ",".join(settings.loader.insecure_registries)
    if logs_in and model.spec.source.secret_ref is not None:
        login = _login_of(model)
        ours[login.variable] = login.path
    for name, value in ours.items():
        yield {"name": name, "value": value}
    for variable in settings.loader.env:
        if variable.name not in ours:
            yield {"name": variable.name, "value": variable.value}


def _plain(resources: Mapping[str, Mapping[str, str]]) -> Manifest:
    return {kind: dict(amounts) for kind, amounts in sorted(resources.items()) if amounts}
