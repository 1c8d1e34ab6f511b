"""The types as structural OpenAPI v3 schemas, the dialect that CustomResourceDefinitions speak.

`berth_api.crd` puts them into the CRDs, `berth_api.manifest` looks up what a field expects. The rules of the dialect:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from berth_api.meta import ApiObject
from berth_api.model import Model
from berth_api.route import ModelRoute

KINDS: Mapping[str, type[ApiObject]] = {"Model": Model, "ModelRoute": ModelRoute}

_DROPPED = ("title", "discriminator", "propertyNames")


_DROPPED = ("title", "discriminator", "propertyNames")
_ORDER = ("description", "type", "format", "default", "enum")
_LAST = ("required", "properties", "items", "additionalProperties")
_EXACT_AS_FLOAT = 2**53


@cache
def kind_schema(kind: str) -> dict[str, Any]:
    """The structural schema of a kind, with `example` where the types give one. Treat it as read-only."""
    written = KINDS[kind].model_json_schema(by_alias=True)
    schema = _structural(written, written.pop("$defs", {}))
    # Defaults are for what users write; in a status they would be figures that nobody has seen.
    schema["properties"]["status"] = _without_defaults(schema["properties"]["status"])
    return schema


def map_schema(node: Mapping[str, Any], change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The schema with every child changed; the node itself is the caller's part."""
    changed = dict(node)
    if "properties" in changed:
        changed["properties"] = {name: change(part) for name, part in changed["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in changed:
            changed[key] = change(changed[key])
    return changed


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    plain = _without_null(_inlined(node, definitions), definitions)
    written = {key: value for key, value in plain.items() if key not in _DROPPED}
    _translate_values(written)
    _translate_map(written, definitions)
    return _in_order(map_schema(written, lambda part: _structural(part, definitions)))


def _in_order(node: Mapping[str, Any]) -> dict[str, Any]:
    middle = [key for key in node if key not in (*_ORDER, *_LAST)]
    return {key: node[key] for key in (*_ORDER, *middle, *_LAST) if key in node}


def _without_defaults(node: Mapping[str, Any]) -> dict[str, Any]:
    return map_schema({key: value for key, value in node.items() if key != "default"}, _without_defaults)


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
    if node.get("type") == "integer":
        node["format"] = "int64"
        if node.get("maximum", 0) > _EXACT_AS_FLOAT:
            # The API server compares bounds as floats, in which 2^63 - 1 overflows; the format bounds it already.
            del node["maximum"]
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
    if isinstance(values, dict) and _inlined(values, definitions):
        node["additionalProperties"] = values
    else:
        node["x-kubernetes-preserve-unknown-fields"] = True
