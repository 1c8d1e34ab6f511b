"""What this version does not carry out yet, as data: a line for each field, deleted with the work that brings it.

A field in these tables is typed, documented and refused by a clear condition; none is ever silently ignored. The CLI
and the operator ask before they act.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from berth_api.claim_path import SCHEME as ON_CLAIM
from berth_api.conditions import Reason
from berth_api.errors import FieldError
from berth_api.field_path import FieldPath, render_path
from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_api.scale import CacheType

REASON = Reason.UNSUPPORTED_FIELD
NOT_YET = "this version does not carry it out yet"
_REMEDY = "remove it"


@dataclass(frozen=True)
class Refused:
    """A field that is refused when it is set to anything but its default, or to what `unless` does not allow."""

    path: str
    message: str = NOT_YET
    remedy: str = _REMEDY
    unless: Callable[[Any], bool] | None = None


def _scheme(*allowed: str) -> Callable[[str], bool]:
    return lambda uri: uri.partition("://")[0] in allowed


_EXTRAS = ("spec.adapters[].source", "spec.draft.source")
_SOURCES = ("spec.source", *_EXTRAS)
_FETCHED = ("oci", "hf", "https", "s3", "file")
_PACKAGE = (
    "make an artifact of the files with `berth package`, and name it here; Google's buckets also answer as `s3://` "
    "with the endpoint https://storage.googleapis.com"
)

MODEL: tuple[Refused, ...] = (
    Refused(
        "spec.source.uri",
        "this version fetches `oci://`, `hf://`, `https://` and `s3://`, and reads `pvc://`",
        _PACKAGE,
        unless=_scheme(*_FETCHED, "pvc"),
    ),
    *(
        Refused(
            f"{source}.uri",
            "this version fetches `oci://`, `hf://`, `https://` and `s3://`",
            _PACKAGE,
            unless=_scheme(*_FETCHED),
        )
        for source in _EXTRAS
    ),
    Refused("spec.autoscaling", remedy="remove it, and set `spec.replicas`"),
    Refused("spec.rollout.strategy"),
    Refused("spec.access.keys"),
    Refused("spec.limits"),
)

ROUTE: tuple[Refused, ...] = (
    Refused("spec.rules[].match.keys"),
    Refused("spec.rules[].canary", remedy="remove it, and set the weights"),
    Refused("spec.rules[].affinity.type"),
    Refused("spec.access.keys"),
    Refused("spec.limits"),
)

_ONE_MACHINE = "a laptop has no {}"
_LOOKED_AT = "on a laptop the files themselves are looked at"
LAPTOP_MODEL: tuple[Refused, ...] = (
    Refused(
        "spec.source.uri",
        _ONE_MACHINE.format("claims"),
        "name the folder or file itself: file:///…",
        unless=lambda uri: not uri.startswith(ON_CLAIM),
    ),
    *(
        Refused(
            f"{source}.secretRef",
            _ONE_MACHINE.format("Secrets"),
            "remove it, and log in with Docker's or Podman's own `login`, or set HF_TOKEN or the AWS_* variables",
        )
        for source in _SOURCES
    ),
    *(
        Refused(f"{source}.signature.{way}.configMapRef", _ONE_MACHINE.format("ConfigMaps"), f"write {what} into `pem`")
        for source in _SOURCES
        for way, what in (("key", "the key"), ("certificate", "the certificates"))
    ),
    Refused("spec.artifact.format", _LOOKED_AT),
    Refused("spec.artifact.task", _LOOKED_AT, "use `spec.task`"),
    Refused("spec.artifact.parameters", _LOOKED_AT),
    Refused("spec.artifact.quantization", _LOOKED_AT),
    Refused("spec.artifact.contextLength", _LOOKED_AT, "use `spec.contextLength`"),
    Refused("spec.artifact.sizeBytes", _LOOKED_AT),
    Refused("spec.engine.image", "on a laptop engines run as processes, without an image"),
    Refused("spec.chatTemplate", _ONE_MACHINE.format("ConfigMaps"), "remove it, or put the template into the artifact"),
    Refused("spec.pod.env[].valueFrom", _ONE_MACHINE.format("Secrets and ConfigMaps"), "give the variable a `value`"),
)
CLUSTER_MODEL: tuple[Refused, ...] = tuple(
    Refused(
        f"{source}.uri",
        "a cluster has no files of yours",
        "push them to a registry with `berth push`, and use `oci://`",
        unless=lambda uri: not uri.startswith("file://"),
    )
    for source in _SOURCES
)


def refusals_of(kind: str) -> tuple[Refused, ...]:
    """What this version refuses of a kind wherever it runs."""
    return MODEL if kind == "Model" else ROUTE


def unsupported_fields(obj: Model | ModelRoute, *, laptop: bool = False) -> tuple[FieldError, ...]:
    """Every field of the object that this version can't carry out, on a laptop or in a cluster."""
    if isinstance(obj, ModelRoute):
        return tuple(_refusals(obj, ROUTE))
    return tuple(_refusals(obj, (*MODEL, *(LAPTOP_MODEL if laptop else CLUSTER_MODEL))))


def laptop_notes(obj: Model | ModelRoute) -> tuple[str, ...]:
    """What a laptop does otherwise than a cluster for this object, one sentence each."""
    if isinstance(obj, ModelRoute):
        return ()
    spec, notes = obj.spec, []
    if spec.replicas > 1:
        notes.append(f"spec.replicas: {spec.replicas} is kept for a cluster; here one process runs")
    if spec.resources.requests or spec.resources.limits:
        notes.append("spec.resources: kept for a cluster; here the process may use the whole machine")
    if spec.accelerator is not None:
        notes.append("spec.accelerator: kept for a cluster; here the CPU computes")
    if spec.cache.type is not CacheType.POD:
        notes.append("spec.cache: kept for a cluster; here weights lie in this machine's store")
    options = [f"spec.pod.{_alias(spec.pod, name)}" for name in sorted(spec.pod.model_fields_set - {"env"})]
    if options:
        notes.append(f"{', '.join(options)}: kept for a cluster; here there is no pod")
    return tuple(notes)


def _refusals(obj: BaseModel, table: tuple[Refused, ...]) -> Iterator[FieldError]:
    for line in table:
        for path, value, default in _find(obj, line.path):
            if not (value == default if line.unless is None else line.unless(value)):
                yield FieldError(render_path(path), line.message, line.remedy, REASON)


def _find(obj: BaseModel, path: str) -> Iterator[tuple[FieldPath, Any, Any]]:
    """Each place that a path with `[]` for any index means: its concrete path, its value and the field's default."""
    first, _, rest = path.partition(".")
    name, is_list = first.removesuffix("[]"), first.endswith("[]")
    attribute = _attribute(obj, name)
    value = getattr(obj, attribute)
    if not rest:
        yield (name,), value, type(obj).model_fields[attribute].get_default(call_default_factory=True)
        return
    steps = [((name, index), item) for index, item in enumerate(value)] if is_list else [((name,), value)]
    for step, item in steps:
        if item is not None:
            for below, found, default in _find(item, rest):
                yield (*step, *below), found, default


def _attribute(obj: BaseModel, alias: str) -> str:
    return next(name for name, field in type(obj).model_fields.items() if field.alias == alias)


def _alias(obj: BaseModel, attribute: str) -> str:
    return str(type(obj).model_fields[attribute].alias)
