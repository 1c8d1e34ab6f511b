"""The types as structural OpenAPI v3 schemas, the dialect that CustomResourceDefinitions speak.

`berth_api.crd` puts them into the CRDs, `berth_api.manifest` looks up what a field expects. The rules of the dialect:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from berth_api.meta import ApiObject
from berth_api.model import Model
from berth_api.route import ModelRoute

KINDS: Mapping[str, type[ApiObject]] = {"Model": Model, "ModelRoute": ModelRoute}

_DROPPED = ("title", "discriminator", "propertyNames")


@cache
def kind_schema(kind: str) -> dict[str, Any]:
    """The structural schema of a kind, with `example` where the types give one. Treat it as read-only."""
    written = KINDS[kind].model_json_schema(by_alias=True)
    definitions = written.pop("$defs", {})
    structural = _structural(written, definitions)
    assert isinstance(structural, dict)
    return structural


def _structural(node: Any, definitions: Mapping[str, Any]) -> dict[str, Any]:
    node = _without_null(_inlined(node, definitions), definitions)
    written = {key: value for key, value in node.items() if key not in _DROPPED}
    _translate_values(written)
    _translate_map(written, definitions)
    if "properties" in written:
        written["properties"] = {name: _structural(part, definitions) for name, part in written["properties"].items()}
    if "items" in written:
        written["items"] = _structural(written["items"], definitions)
    if written.get("type") == "integer":
        written["format"] = "int64"
    return written


def _inlined(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `$ref` by what it names; what stands beside it (description, default) wins."""
    reference = node.get("$ref")
    if reference is None:
        return dict(node)
    target = _inlined(definitions[reference.rpartition("/")[2]], definitions)
    return target | {key: value for key, value in node.items() if key != "$ref"}


def _without_null(node: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """`X or null` becomes X: an absent field is how the API says nothing, and null would be stored as such."""
    options = node.pop("anyOf", None)
    if options is None:
        return node
    (only,) = (option for option in options if option.get("type") != "null")
    return _inlined(only, definitions) | node


def _translate_values(node: dict[str, Any]) -> None:
    if "const" in node:
        node["enum"] = [node.pop("const")]
    examples = node.pop("examples", None)
    if examples:
        node["example"] = examples[0]
    if not _is_worth_storing(node.get("default")):
        # The API server writes defaults into stored objects: only scalars that say something may appear there.
        node.pop("default", None)


def _is_worth_storing(default: object) -> bool:
    return default not in (None, "") and isinstance(default, str | int | bool)


def _translate_map(node: dict[str, Any], definitions: Mapping[str, Any]) -> None:
    if node.get("type") != "object":
        return
    values = node.pop("additionalProperties", None)
    if "properties" in node:
        return
    if isinstance(values, dict) and values:
        node["additionalProperties"] = _structural(values, definitions)
    else:
        node["x-kubernetes-preserve-unknown-fields"] = True
