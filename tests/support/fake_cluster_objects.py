"""What the API server does to one object at each kind of write, without IO: versions, generations, who owns a field.

Called by fake_cluster.py. The functions answer a new `Stored` and never change the old one.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import fake_cluster_fields as fields

from berth_kube.resources import Object

Owner = tuple[str, str]
"""A field manager, and the subresource that it writes (`status` or empty)."""

UPDATE: Owner = ("update", "")
"""Whoever writes in another way than by apply."""

_SERVER_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")
_WITHOUT_STATUS = frozenset({"ConfigMap", "Lease", "Event", "Secret"})
_WITHOUT_GENERATION = _WITHOUT_STATUS | {"Node", "Service", "Pod", "Namespace", "EndpointSlice"}


@dataclass(frozen=True)
class Stored:
    """An object, and which fields each owner owns."""

    document: dict[str, Any]
    owned: Mapping[Owner, frozenset[fields.Path]] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return str(self.document["metadata"]["uid"])

    @property
    def version(self) -> str:
        return str(self.document["metadata"]["resourceVersion"])


def created(body: Object, *, uid: str, at: str, owner: Owner = UPDATE) -> Stored:
    """A new object. What only the server or a controller writes is dropped from it."""
    document = _wished(body)
    if document["kind"] not in _WITHOUT_STATUS:
        document.pop("status", None)
    document["metadata"] |= {"uid": uid, "creationTimestamp": at}
    if document["kind"] not in _WITHOUT_GENERATION:
        document["metadata"]["generation"] = 1
    return Stored(document, {owner: frozenset(fields.leaves(_owned_part(body)))})


def replaced(old: Stored, body: Object) -> Stored:
    """The object after PUT: all but status is as `body` says."""
    document = _wished(body)
    document["metadata"] |= _of_server(old.document)
    _keep_status(old.document, document)
    return _updated(old, _with_generation(old.document, document))


def merged(old: Stored, patch: Object) -> Stored:
    """The object after a JSON merge patch (RFC 7386)."""
    document = copy.deepcopy(old.document)
    _merge_patch(document, patch)
    document["metadata"] |= _of_server(old.document)
    _keep_status(old.document, document)
    return _updated(old, _with_generation(old.document, document))


def applied(old: Stored, body: Object, manager: str) -> Stored:
    """The object after a forced server-side apply of everything but status."""
    document, owned = _apply(old, _owned_part(body), (manager, ""))
    _keep_status(old.document, document)
    return Stored(_with_generation(old.document, document), owned)


def status_applied(old: Stored, body: Object, manager: str) -> Stored:
    """The object after a forced server-side apply of its status."""
    document, owned = _apply(old, {"status": body.get("status", {})}, (manager, "status"))
    return Stored(document, owned)


def status_set(old: Stored, status: Object) -> Stored:
    """The object after a controller has written its whole status."""
    return replace(old, document={**old.document, "status": copy.deepcopy(dict(status))})


def _apply(old: Stored, wish: Object, owner: Owner) -> tuple[dict[str, Any], Mapping[Owner, frozenset[fields.Path]]]:
    now = frozenset(fields.leaves(wish))
    others = {name: paths for name, paths in old.owned.items() if name != owner}
    document = copy.deepcopy(old.document)
    dropped = old.owned.get(owner, frozenset()) - fields.prefixes(now.union(*others.values()))
    # Shortest first: an item of a list goes as a whole, while it can still be found by its key.
    for path in sorted(dropped, key=len):
        fields.remove(document, path)
    fields.merge(document, wish)
    owned = {name: _without_changed(paths, now, old.document, document) for name, paths in others.items()}
    return document, {**owned, owner: now}


def _without_changed(
    paths: frozenset[fields.Path], forced: frozenset[fields.Path], before: Object, after: Object
) -> frozenset[fields.Path]:
    """What an owner keeps when another one forces fields: those whose value stays are owned by both."""
    return frozenset(
        path for path in paths if path not in forced or fields.read(before, path) == fields.read(after, path)
    )


def _updated(old: Stored, document: dict[str, Any]) -> Stored:
    """Owners after a write that is no apply: what it changed is the writer's."""
    part = frozenset(fields.leaves(_owned_part(document)))
    changed = frozenset(path for path in part if fields.read(old.document, path) != fields.read(document, path))
    owned = {name: paths - changed for name, paths in old.owned.items()}
    return Stored(document, {**owned, UPDATE: owned.get(UPDATE, frozenset()) | changed})


def _wished(body: Object) -> dict[str, Any]:
    document = copy.deepcopy(dict(body))
    document["metadata"] = {name: value for name, value in document["metadata"].items() if name not in _SERVER_FIELDS}
    return document


def _owned_part(body: Object) -> dict[str, Any]:
    """The fields of a body that somebody can own: not what names the object, nor what the server writes."""
    metadata = {
        name: value for name, value in body["metadata"].items() if name not in (*_SERVER_FIELDS, "name", "namespace")
    }
    rest = {name: value for name, value in body.items() if name not in ("apiVersion", "kind", "metadata", "status")}
    return {**rest, "metadata": metadata} if metadata else rest


def _of_server(document: Object) -> dict[str, Any]:
    metadata = document["metadata"]
    return {name: metadata[name] for name in (*_SERVER_FIELDS, "name", "namespace") if name in metadata}


def _keep_status(old: Object, document: dict[str, Any]) -> None:
    if document["kind"] in _WITHOUT_STATUS:
        return
    document.pop("status", None)
    if "status" in old:
        document["status"] = old["status"]


def _with_generation(old: Object, document: dict[str, Any]) -> dict[str, Any]:
    """A change of anything but metadata and status is a new generation."""
    apart = ("metadata", "status")
    same = {k: v for k, v in old.items() if k not in apart} == {k: v for k, v in document.items() if k not in apart}
    if not same and "generation" in old["metadata"]:
        document["metadata"]["generation"] = old["metadata"]["generation"] + 1
    return document


def _merge_patch(into: dict[str, Any], patch: Object) -> None:
    for name, value in patch.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict):
            inner = into.setdefault(name, {})
            if not isinstance(inner, dict):
                into[name] = inner = {}
            _merge_patch(inner, value)
            if name in ("labels", "annotations") and not inner:
                del into[name]
        else:
            into[name] = copy.deepcopy(value)
