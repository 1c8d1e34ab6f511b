"""The field reference of a kind as Markdown, rendered from its schema. `crds/generate.py` writes docs/reference."""

from collections.abc import Iterator, Mapping
from typing import Any

from berth_api.field_errors import render_value
from berth_api.meta import API_VERSION
from berth_api.schema import kind_schema
from berth_api.support import NOT_YET, Refused, refusals_of

_SECTIONS = ("spec", "status")


def render_reference(kind: str) -> str:
    """The page of one kind: a table for each object of its spec and status."""
    schema = kind_schema(kind)
    head = [
        f"# {kind}",
        "",
        schema["description"],
        "",
        f"`apiVersion: {API_VERSION}`, `kind: {kind}`. `make crds` writes this page from the types in `api/berth_api`.",
        "A field marked **not yet** is refused until the version that carries it out.",
    ]
    return "\n".join([*head, *_sections(kind, schema)]) + "\n"


def _sections(kind: str, schema: Mapping[str, Any]) -> Iterator[str]:
    refused = {line.path: line for line in refusals_of(kind)}
    for name in _SECTIONS:
        for path, node in _objects(schema["properties"][name], name):
            yield from _section(path, node, refused)


def _objects(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "properties" in node:
        yield path, node
        for name, part in node["properties"].items():
            yield from _objects(part, f"{path}.{name}")
    elif "properties" in node.get("items", {}):
        yield from _objects(node["items"], f"{path}[]")


def _section(path: str, node: Mapping[str, Any], refused: Mapping[str, Refused]) -> Iterator[str]:
    yield from ("", f"## `{path}`", "", node.get("description", ""), "")
    yield from ("| Field | Type | Default | Meaning |", "|---|---|---|---|")
    required = node.get("required", ())
    for name, part in node["properties"].items():
        default = "required" if name in required else _default(part)
        yield f"| `{name}` | {_type(part)} | {default} | {_meaning(part, refused.get(f'{path}.{name}'))} |"
    for rule in node.get("x-kubernetes-validations", ()):
        yield from ("", f"Refused with: *{rule['message']}*")


def _default(part: Mapping[str, Any]) -> str:
    return f"`{render_value(part['default'])}`" if "default" in part else ""


def _meaning(part: Mapping[str, Any], refused: Refused | None) -> str:
    said = [part.get("description", "")]
    if "enum" in part:
        said.append(f"One of {', '.join(f'`{word}`' for word in part['enum'])}.")
    if "example" in part:
        said.append(f"Such as `{render_value(part['example'])}`.")
    if refused is not None:
        said.append("**Not yet.**" if refused.message == NOT_YET else f"**In this version:** {refused.message}.")
    return " ".join(said).replace("|", "\\|")


def _type(part: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a table in the form of a match
    if part.get("x-kubernetes-int-or-string"):
        return "quantity"
    match part.get("type"):
        case "array":
            return f"list (≤ {part['maxItems']}) of {_type(part['items'])}{_once(part)}"
        case "object" if "additionalProperties" in part:
            return f"map (≤ {part['maxProperties']}) to {_type(part['additionalProperties'])}"
        case "integer":
            return f"integer{_range(part)}"
        case "string" if part.get("format") == "date-time":
            return "time"
        case "string":
            return f"text (≤ {part['maxLength']})" if "maxLength" in part else "word"
        case other:
            return str(other)


def _once(part: Mapping[str, Any]) -> str:
    match part["x-kubernetes-list-type"]:
        case "set":
            return ", each once"
        case "map":
            return f", each {' and '.join(f'`{key}`' for key in part['x-kubernetes-list-map-keys'])} once"
        case _:
            return ""


def _range(part: Mapping[str, Any]) -> str:
    low, high = part.get("minimum"), part.get("maximum")
    if low is None:
        return ""
    return f" {low} to {high}" if high is not None else f" ≥ {low}"
