"""What resolver and loader share: which sources they may reach in which way, the pull Secret of their Model, and whose
certificates they trust.

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


_AUTHORITIES: Final = "ca.crt"
"""The key of the source's Secret, and the file, with certificates of authorities."""
_BUNDLE_VOLUME: Final = "ca-bundle"
_BUNDLE_PATH: Final = "/etc/berth/ca-bundle"
_REGISTRY: Final = _Login(
    "registry",
    "/var/run/secrets/berth/registry",
    "DOCKER_CONFIG",
    {".dockerconfigjson": "config.json", _AUTHORITIES: _AUTHORITIES},
)


def _source_login(*keys: str) -> _Login:
    files = {key: key for key in (*keys, _AUTHORITIES)}
    return _Login("source", "/var/run/secrets/berth/source", "BERTH_SOURCE_SECRET", files)


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


def source_volumes(model: Model, settings: OperatorSettings) -> Iterator[Manifest]:
    """What it takes to reach the source: its Secret, if the Model names one (of a registry Docker's own file, of others
    the keys they know), and the installation's bundle of authorities, if it has one.

    Both are optional for the kubelet: a pod without them starts and says that the source refuses it, or is not trusted,
    whereas a mount that fails would tell nobody but those who read the pod's events. A source that needs neither must
    not wait for them.
    """
    secret, bundle = model.spec.source.secret_ref, settings.loader.ca_bundle.config_map
    if secret is not None:
        login = _login_of(model)
        items = [{"key": key, "path": path} for key, path in login.files.items()]
        content = {"secretName": secret.name, "items": items, "defaultMode": _GROUP_MAY_READ, "optional": True}
        yield {"name": login.volume, "secret": content}
    if bundle.name:
        items = [{"key": bundle.key, "path": _AUTHORITIES}]
        yield {"name": _BUNDLE_VOLUME, "configMap": {"name": bundle.name, "items": items, "optional": True}}


def _source_options(source: Source, digest: str | None) -> list[str]:
    patterns = [f"--files={pattern}" for pattern in source.files]
    pinned = ["--digest", digest] if digest else []
    return ["--source", source.uri, *pinned, *patterns, *signature_options(source.signature)]


def _login_of(model: Model) -> _Login:
    return _LOGINS.get(model.spec.source.uri.partition("://")[0], _REGISTRY)


def _build_container(
    name: str, command: list[str], model: Model, settings: OperatorSettings, *, logs_in: bool = True
) -> Manifest:
    return {
        "name": name,
        "image": settings.images.fetch,
        "imagePullPolicy": settings.image_pull_policy,
        "command": escape_arguments(command),
        "env": list(_environment(model, settings, logs_in=logs_in)),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": [temporary_mount(), *(_source_mounts(model, settings) if logs_in else ())],
        "resources": _plain(settings.loader.resources or _RESOURCES),
    }


def _source_mounts(model: Model, settings: OperatorSettings) -> Iterator[Manifest]:
    if model.spec.source.secret_ref is not None:
        login = _login_of(model)
        yield {"name": login.volume, "mountPath": login.path, "readOnly": True}
    if settings.loader.ca_bundle.config_map.name:
        yield {"name": _BUNDLE_VOLUME, "mountPath": _BUNDLE_PATH, "readOnly": True}
    yield from signature_mounts(model)


def _environment(model: Model, settings: OperatorSettings, *, logs_in: bool) -> Iterator[Manifest]:
    ours = {"HOME": TEMPORARY_PATH}
    if settings.loader.insecure_registries:
        ours["BERTH_INSECURE_REGISTRIES"] = ",".join(settings.loader.insecure_registries)
    if logs_in and model.spec.source.secret_ref is not None:
        login = _login_of(model)
        ours[login.variable] = login.path
    bundles = [f"{mount['mountPath']}/{_AUTHORITIES}" for mount in _source_mounts(model, settings)] if logs_in else []
    if bundles:
        ours["BERTH_CA_BUNDLE"] = ":".join(bundles)
    for name, value in ours.items():
        yield {"name": name, "value": value}
    for variable in settings.loader.env:
        if variable.name not in ours:
            yield {"name": variable.name, "value": variable.value}


def _plain(resources: Mapping[str, Mapping[str, str]]) -> Manifest:
    return {kind: dict(amounts) for kind, amounts in sorted(resources.items()) if amounts}
