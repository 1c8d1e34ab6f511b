"""Pydantic's errors in the words of the API: where, what is wrong, and what would be right.

What would be right is read from the field's own schema, so that a new field explains itself.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from berth_api.errors import FieldError
from berth_api.field_path import FieldPath, render_path, shorten
from berth_api.rules import BROKEN_RULE
from berth_api.suggestions import did_you_mean, suggest_field

_WORDS = ("enum", "literal_error")


def field_errors(error: ValidationError, schema: Mapping[str, Any]) -> tuple[FieldError, ...]:
    """Every wrong field of a validation error; `schema` is that of the whole kind."""
    details = error.errors(include_url=False)
    return tuple(found for detail in details for found in _errors_of(detail, schema))


def _errors_of(detail: ErrorDetails, schema: Mapping[str, Any]) -> Iterator[FieldError]:
    path: FieldPath = tuple(detail["loc"])
    kind, found = detail["type"], detail["input"]
    node = _node(schema, path)
    if kind == BROKEN_RULE:
        for rule in detail["ctx"]["rules"]:
            yield FieldError(render_path(path) + rule.field, rule.message, rule.remedy)
    elif kind == "extra_forbidden":
        yield _unknown_field(path, schema)
    elif kind == "missing":
        yield FieldError(render_path(path), "this field is missing", f"give {render_expected(node)}")
    elif kind in _WORDS and isinstance(found, str):
        remedy = " ".join(part for part in (did_you_mean(found, node["enum"]), f"It takes {_choices(node)}") if part)
        yield FieldError(
            render_path(path), f"`{shorten(found)}` is not a value of this field", remedy[0].lower() + remedy[1:]
        )
    else:
        yield FieldError(render_path(path), f"{_shown(found)} can't stand here", f"give {render_expected(node)}")


def _unknown_field(path: FieldPath, schema: Mapping[str, Any]) -> FieldError:
    name = str(path[-1])
    remedy = suggest_field(name, _node(schema, path[:-1]), schema["properties"]["spec"])
    return FieldError(render_path(path), f"unknown field `{shorten(name)}`", remedy)


def _node(schema: Mapping[str, Any], path: FieldPath) -> Mapping[str, Any]:
    for step in path:
        if isinstance(step, int):
            schema = schema.get("items", {})
        else:
            schema = schema.get("properties", {}).get(step) or schema.get("additionalProperties", {})
    return schema


def render_expected(node: Mapping[str, Any]) -> str:
    """What a field takes: `an integer from 1 to 64`, `a text of at most 50 characters, such as …`."""
    example = node.get("example")
    such_as = f", such as `{render_value(example)}`" if example is not None else ""
    return _expected_type(node) + such_as


def _expected_type(node: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a table in the form of a match
    if "enum" in node:
        return f"one of {_choices(node)}"
    if node.get("x-kubernetes-int-or-string"):
        return "a quantity as an integer or a text"
    match node.get("type"):
        case "integer":
            return f"an integer{_range(node)}"
        case "boolean":
            return "`true` or `false`"
        case "string":
            return f"a text of at most {node['maxLength']} characters" if "maxLength" in node else "a text"
        case "array":
            return "a list"
        case "object":
            fields = ", ".join(f"`{name}`" for name in node.get("properties", {}))
            return f"an object with the fields {fields}" if fields else "an object"
        case _:
            return "a value"


def _range(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None and high < 2**53:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else ""


def _choices(node: Mapping[str, Any]) -> str:
    return ", ".join(f"`{word}`" for word in node["enum"])


def _shown(found: object) -> str:  # noqa: PLR0911 - a table in the form of a match
    match found:
        case None:
            return "an empty value"
        case bool():
            return f"`{str(found).lower()}`"
        case str():
            return f"the text `{shorten(found)}`" if found else "an empty text"
        case int() | float():
            return f"the number `{found}`"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "this value"


def render_value(value: object) -> str:
    """A value as users would write it in YAML's flow style."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{key}: {render_value(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(render_value(item) for item in value) + "]"
        case _:
            return str(value)
