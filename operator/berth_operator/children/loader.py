"""What resolver and loader share: which sources they may reach in which way, the Secret of their source, and whose
certificates they trust.

Each source, the Model's own and that of each extra, has containers of its own, which see its Secret and no other's.
Both are programs of the `fetch` image; their command lines are the contract with `berth_store`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from berth_api.artifact import Task
from berth_api.claim_path import claim_path
from berth_api.drafts import ENGINE as DRAFT_ENGINE
from berth_api.launch import trust_options
from berth_api.source import Source
from berth_api.trust import NO_TRUST, Trust
from berth_operator.children.metadata import Manifest
from berth_operator.children.names import (
    FETCH_CONTAINER,
    PROGRESS_PORT,
    PROGRESS_PORT_NAME,
    RESOLVE_CONTAINER,
)
from berth_operator.children.place import CLAIM_PATH, ExtraPlace, Place, claim_volume
from berth_operator.children.restricted import TEMPORARY_PATH, container_security, escape_arguments, temporary_mount
from berth_operator.children.signature import signature_mounts, signature_options
from berth_operator.resolution import Question, pinned_digest
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
    source: Source,
    digest: str | None,
    place: Place,
    settings: OperatorSettings,
    *,
    revision: str = "",
    trust: Trust = NO_TRUST,
) -> Manifest:
    """The init container that brings the files to their place and tells its progress on a port, or that looks whether
    the node has brought them. `digest` and `revision` are those that were resolved.
    """
    if not place.fetches:
        container = _build_container(FETCH_CONTAINER, ["python", "-m", *place.program], None, settings)
    else:
        command = _fetch_command(place.program, source, digest, revision, trust)
        container = _build_container(FETCH_CONTAINER, command, source, settings)
        container["ports"] = [{"name": PROGRESS_PORT_NAME, "containerPort": PROGRESS_PORT, "protocol": "TCP"}]
    container["volumeMounts"] += place.loader_mounts
    return container


def build_extra_container(extra: ExtraPlace, place: Place, settings: OperatorSettings) -> Manifest:
    """The init container that brings an extra beside the model. It runs after the model's, on the same port."""
    command = _fetch_command(extra.program, extra.source, extra.digest, extra.revision)
    name = f"{FETCH_CONTAINER}-{extra.key}"
    container = _build_container(name, command, extra.source, settings, suffix=extra.key)
    container["volumeMounts"] += place.loader_mounts
    return container


def build_resolver_container(question: Question, settings: OperatorSettings) -> Manifest:
    """The container that finds out what the source holds and says it in its termination message."""
    spec, source = question.model.spec, question.source
    trust = spec.trust if question.extra is None else NO_TRUST
    options = _source_options(source, pinned_digest(source, question.path), trust)
    if question.extra is not None and question.extra.is_draft:
        # It only goes on with texts, so neither its template nor what else it may do matters.
        options += ["--task", Task.COMPLETION, "--engine", DRAFT_ENGINE, "--own-template"]
    elif question.extra is not None:
        options += ["--adapter"]
    else:
        options += ["--format", spec.artifact.format] if spec.artifact.format is not None else []
        options += ["--own-template"] if spec.chat_template is not None else []
        options += ["--task", spec.task, "--engine", spec.engine.type]
    options += ["--volume", CLAIM_PATH] if claim_path(source.uri) is not None else []
    command = ["python", "-m", "berth_store.resolver", *(str(option) for option in options)]
    return _build_container(RESOLVE_CONTAINER, command, source, settings)


def source_volumes(sources: Iterable[tuple[Source, str]], settings: OperatorSettings) -> Iterator[Manifest]:
    """What it takes to reach the sources, each given with the suffix of its Secret's volume: the Secret of each, if one
    is named (of a registry Docker's own file, of others the keys they know), the claim that one lies on, and the
    installation's bundle of authorities, if it has one.

    Secrets and bundle are optional for the kubelet: a pod without them starts and says that the source refuses it, or
    is not trusted, whereas a mount that fails would tell nobody but those who read the pod's events. A source that
    needs none must not wait for them.
    """
    for source, suffix in sources:
        if source.secret_ref is not None:
            login = _login_of(source)
            items = [{"key": key, "path": path} for key, path in login.files.items()]
            named = {"secretName": source.secret_ref.name, "items": items}
            content = {**named, "defaultMode": _GROUP_MAY_READ, "optional": True}
            yield {"name": _volume_name(login, suffix), "secret": content}
        yield from (volume for volume, _ in _claims_of(source))
    bundle = settings.loader.ca_bundle.config_map
    if bundle.name:
        items = [{"key": bundle.key, "path": _AUTHORITIES}]
        yield {"name": _BUNDLE_VOLUME, "configMap": {"name": bundle.name, "items": items, "optional": True}}


def _fetch_command(
    program: Sequence[str], source: Source, digest: str | None, revision: str, trust: Trust = NO_TRUST
) -> list[str]:
    module, *options = program
    found = [*_source_options(source, digest, trust), *(["--revision", revision] if revision else [])]
    return ["python", "-m", module, *found, *options, "--progress-port", str(PROGRESS_PORT)]


def _source_options(source: Source, digest: str | None, trust: Trust = NO_TRUST) -> list[str]:
    patterns = [f"--files={pattern}" for pattern in source.files]
    pinned = ["--digest", digest] if digest else []
    signed = signature_options(source.signature)
    return ["--source", source.uri, *pinned, *patterns, *trust_options(trust), *signed]


def _login_of(source: Source) -> _Login:
    return _LOGINS.get(source.uri.partition("://")[0], _REGISTRY)


def _volume_name(login: _Login, suffix: str) -> str:
    return f"{login.volume}-{suffix}" if suffix else login.volume


def _build_container(
    name: str, command: list[str], source: Source | None, settings: OperatorSettings, *, suffix: str = ""
) -> Manifest:
    """A container that goes to `source`, or to none. `suffix` is that of its Secret's volume."""
    mounts = list(_source_mounts(source, suffix, settings)) if source is not None else []
    signed = signature_mounts(source, suffix) if source is not None else []
    claims = [mount for _, mount in _claims_of(source)] if source is not None else []
    return {
        "name": name,
        "image": settings.images.fetch,
        "imagePullPolicy": settings.image_pull_policy,
        "command": escape_arguments(command),
        "env": list(_environment(source, mounts, settings)),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": [temporary_mount(), *mounts, *signed, *claims],
        "resources": _plain(settings.loader.resources or _RESOURCES),
    }


def _claims_of(source: Source) -> Iterator[tuple[Manifest, Manifest]]:
    there = claim_path(source.uri)
    if there is not None:
        yield claim_volume(there)


def _source_mounts(source: Source, suffix: str, settings: OperatorSettings) -> Iterator[Manifest]:
    if source.secret_ref is not None:
        login = _login_of(source)
        yield {"name": _volume_name(login, suffix), "mountPath": login.path, "readOnly": True}
    if settings.loader.ca_bundle.config_map.name:
        yield {"name": _BUNDLE_VOLUME, "mountPath": _BUNDLE_PATH, "readOnly": True}


def _environment(source: Source | None, mounts: Sequence[Manifest], settings: OperatorSettings) -> Iterator[Manifest]:
    ours = {"HOME": TEMPORARY_PATH}
    if settings.loader.insecure_registries:
        ours["BERTH_INSECURE_REGISTRIES"] = ",".join(settings.loader.insecure_registries)
    if source is not None and source.secret_ref is not None:
        login = _login_of(source)
        ours[login.variable] = login.path
    if mounts:
        ours["BERTH_CA_BUNDLE"] = ":".join(f"{mount['mountPath']}/{_AUTHORITIES}" for mount in mounts)
    for name, value in ours.items():
        yield {"name": name, "value": value}
    for variable in settings.loader.env:
        if variable.name not in ours:
            yield {"name": variable.name, "value": variable.value}


def _plain(resources: Mapping[str, Mapping[str, str]]) -> Manifest:
    return {kind: dict(amounts) for kind, amounts in sorted(resources.items()) if amounts}
