"""The two CustomResourceDefinitions, built from the types. `crds/generate.py` writes them, the chart copies them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from berth_api.meta import GROUP, VERSION
from berth_api.rules import admission_rules, at
from berth_api.scalars import NAME_MAX, NAME_RULE
from berth_api.schema import kind_schema, map_schema

CATEGORY = "berth"


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; a wide one shows with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Resource:
    """What a CRD says beside its schema."""

    kind: str
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    scalable: bool = False


def _condition(wanted: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{wanted}")].{part}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

RESOURCES: tuple[Resource, ...] = (
    Resource(
        "Model",
        "models",
        "bm",
        (
            Column("Ready", _condition("Ready", "status"), description="Whether it answers."),
            Column("Replicas", ".status.replicas", "integer", "Pods that exist."),
            Column("Engine", ".status.artifact.engine", description="The engine that serves it."),
            Column("Task", ".status.artifact.task", description="What it does."),
            Column("Size", ".status.artifact.sizeBytes", "integer", "Bytes of its files."),
            Column("Stage", ".status.loading.stage", description="The stage of a start that is under way."),
            _AGE,
            Column("Profile", ".status.profile", description="The accelerator profile.", wide=True),
            Column("Digest", ".status.artifact.digest", description="The artifact's digest.", wide=True),
            Column("Reason", _condition("Ready", "reason"), description="Why it is ready or not.", wide=True),
        ),
        scalable=True,
    ),
    Resource(
        "ModelRoute",
        "modelroutes",
        "bmr",
        (
            Column("Names", ".spec.names", description="What clients send as `model`."),
            Column("Ready", _condition("BackendsReady", "status"), description="Whether its backends answer."),
            # A column shows the first result of its path only, so it takes the sentence and not the list.
            Column("Backends", _condition("BackendsReady", "message"), description="How many backends answer."),
            _AGE,
        ),
    ),
)


def build_crds() -> dict[str, dict[str, Any]]:
    """Both CRDs by their file names."""
    return {f"{GROUP}_{resource.plural}.yaml": build_crd(resource) for resource in RESOURCES}


def build_crd(resource: Resource) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [resource.short_name],
                "categories": [CATEGORY],
            },
            "conversion": {"strategy": "None"},
            "versions": [_version(resource)],
        },
    }


def _version(resource: Resource) -> dict[str, Any]:
    subresources: dict[str, Any] = {"status": {}}
    if resource.scalable:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root_schema(resource.kind)},
        "subresources": subresources,
        "additionalPrinterColumns": [_written(column) for column in resource.columns],
    }


def _root_schema(kind: str) -> dict[str, Any]:
    schema = _without_examples(kind_schema(kind))
    properties = schema["properties"] | {
        "apiVersion": {"type": "string", "maxLength": 64, "description": "Version of this schema."},
        "kind": {"type": "string", "maxLength": 64, "description": f"`{kind}`."},
        # A CRD may bound nothing of the metadata but the name.
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": NAME_MAX}}},
    }
    rules = admission_rules([at("metadata.name", NAME_RULE)])
    return schema | {"properties": properties, "required": ["metadata", "spec"], "x-kubernetes-validations": rules}


def _without_examples(node: Mapping[str, Any]) -> dict[str, Any]:
    return map_schema({key: value for key, value in node.items() if key != "example"}, _without_examples)


def _written(column: Column) -> dict[str, Any]:
    written: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        written["description"] = column.description
    if column.wide:
        written["priority"] = 1
    return written
