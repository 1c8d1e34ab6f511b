"""What all children have in common: labels, the owner that takes them with it, and the hash of what was wanted."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from berth_api.meta import API_VERSION
from berth_api.model import Model
from berth_api.names import ANNOTATION_APPLIED_HASH, LABEL_COMPONENT, LABEL_MODEL, model_labels
from berth_kube.resources import Object, Resource
from berth_operator.children.names import MEMBER_COMPONENT

Manifest = dict[str, Any]
"""An object that we make. Nothing in it is empty unless emptiness means something: server-side apply records it."""


def build_child(
    resource: Resource,
    model: Model,
    name: str,
    content: Mapping[str, Any],
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A whole child object, owned by the Model; `content` is everything beside its metadata."""
    metadata: Manifest = {
        "name": name,
        "namespace": model.metadata.namespace,
        "labels": model_labels(model.metadata.name),
        "ownerReferences": [owner_reference(model)],
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return with_hash({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **content})


def owner_reference(model: Model) -> Manifest:
    """The Model as the controller of a child."""
    return {
        "apiVersion": API_VERSION,
        "kind": model.kind,
        "name": model.metadata.name,
        "uid": model.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def resolver_labels(model: str) -> dict[str, str]:
    """The labels of resolver Jobs and their pods; the engine's selector does not match them."""
    return {**model_labels(model), LABEL_COMPONENT: "resolver"}


def member_labels(model: str) -> dict[str, str]:
    """The labels of a group's members; the engine's selector does not match them either."""
    return {**model_labels(model), LABEL_COMPONENT: MEMBER_COMPONENT}


def group_selector(model: str) -> Manifest:
    """All pods that compute for a Model: engines, which heads of groups are, and members."""
    components = [model_labels(model)[LABEL_COMPONENT], MEMBER_COMPONENT]
    return {
        "matchLabels": {LABEL_MODEL: model},
        "matchExpressions": [{"key": LABEL_COMPONENT, "operator": "In", "values": components}],
    }


def with_hash(body: Manifest) -> Manifest:
    """The body with the annotation that tells what was wanted when it was applied last."""
    metadata = {
        **body["metadata"],
        "annotations": {**body["metadata"].get("annotations", {}), ANNOTATION_APPLIED_HASH: hash_of(body)},
    }
    return {**body, "metadata": metadata}


def hash_of(value: object, length: int = 16) -> str:
    """A short name for a JSON value, the same for the same content in any order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def is_owned(found: Object, uid: str) -> bool:
    """Whether the object with this UID is the controller of an object that was read."""
    references = found["metadata"].get("ownerReferences") or ()
    return any(reference.get("controller") and reference.get("uid") == uid for reference in references)


def is_leaving(found: Object) -> bool:
    """Whether an object is being deleted. An apply to it would succeed, and be lost with it."""
    return "deletionTimestamp" in found["metadata"]
