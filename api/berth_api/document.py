"""A document before it has a type: is it plain JSON of a sane size, and where does it say nothing (null)?

YAML knows more than JSON: dates, sets, keys that are no text, values that contain themselves. Each is refused with the
field it stands in, before any type is looked at. `berth_api.manifest` is the only caller.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from berth_api.errors import FieldError, InvalidSpec
from berth_api.field_path import FieldPath, render_path

MAX_DEPTH = 48
MAX_VALUES = 100_000
_INT64 = range(-(2**63), 2**63)
_YAML_TRUE_WORDS = "`on`, `yes` or `y`"


def check_document(raw: object) -> dict[str, Any]:
    """The document as plain JSON values. Raises InvalidSpec for what JSON can't say, and for hostile sizes."""
    if not isinstance(raw, Mapping):
        raise InvalidSpec(FieldError("(document)", "not an object", "start with `apiVersion: berth.dev/v1alpha1`"))
    check = _Check()
    plain = check.value(raw, ())
    if check.errors:
        raise InvalidSpec(*check.errors)
    assert isinstance(plain, dict)
    return plain


class _Check:
    """One walk over a document; it stops descending at the bounds, so that it ends for every input."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self._values = 0

    def value(self, value: object, path: FieldPath) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            if self._values == MAX_VALUES + 1:
                self._refuse((), f"the document has more than {MAX_VALUES:,} values", "make it smaller")
            return None
        if len(path) > MAX_DEPTH:
            self._refuse(path[:4], f"this is nested more than {MAX_DEPTH} levels deep", "make it flatter")
            return None
        if isinstance(value, Mapping):
            return {key: self.value(item, (*path, key)) for key, item in self._entries(value, path)}
        if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
            return [self.value(item, (*path, index)) for index, item in enumerate(self._bounded(value))]
        return self._scalar(value, path)

    def _bounded(self, value: Sequence[object]) -> Sequence[object]:
        return value[: MAX_VALUES + 1]

    def _entries(self, value: Mapping[Any, object], path: FieldPath) -> Iterator[tuple[str, object]]:
        for key, item in value.items():
            if isinstance(key, bool):
                remedy = (
                    f"YAML reads a bare {_YAML_TRUE_WORDS} as true and their opposites as false: put the name in quotes"
                )
                self._refuse(path, f"a field is named {str(key).lower()}", remedy)
            elif not isinstance(key, str):
                self._refuse(path, f"a field has a name that is not a text but {_kind(key)}", "put the name in quotes")
            elif not _is_unicode(key):
                self._refuse(path, "a field has a name that is not Unicode", "write it in UTF-8")
            else:
                yield key, item

    def _scalar(self, value: object, path: FieldPath) -> object:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if not _is_unicode(value):
                self._refuse(path, "not Unicode text", "write it in UTF-8")
            return str(value)
        if isinstance(value, int):
            if value not in _INT64:
                self._refuse(path, "this number does not fit into 64 bits", "write a smaller one")
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        self._refuse(path, f"this is {_kind(value)}, which JSON can't say", "put it in quotes if text is meant")
        return None

    def _refuse(self, path: FieldPath, message: str, remedy: str) -> None:
        if len(self.errors) < 64:
            self.errors.append(FieldError(render_path(path), message, remedy))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return "an infinite number or none"
    return f"a {type(value).__name__}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def drop_nulls(document: dict[str, Any], schema: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[FieldError, ...]]:
    """The document without fields that are null and have a default, as the API server does; other nulls are wrong."""
    errors: list[FieldError] = []
    given = _without_nulls(document, schema, (), errors)
    assert isinstance(given, dict)
    return given, tuple(errors)


def _without_nulls(value: Any, schema: Mapping[str, Any], path: FieldPath, errors: list[FieldError]) -> Any:
    if isinstance(value, dict) and "properties" in schema:
        return dict(_given_fields(value, schema, path, errors))
    if isinstance(value, list) and "items" in schema:
        return [_without_nulls(item, schema["items"], (*path, index), errors) for index, item in enumerate(value)]
    return value


def _given_fields(
    value: dict[str, Any], schema: Mapping[str, Any], path: FieldPath, errors: list[FieldError]
) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        part = schema["properties"].get(name)
        if item is not None or part is None:
            yield name, _without_nulls(item, part or {}, (*path, name), errors)
        elif path[:1] == ("spec",) and "default" not in part and name not in schema.get("required", ()):
            # A required field is left out here, so that it is found to be missing with the words for that.
            message, remedy = "this field has no value", "give it one, or remove the line"
            errors.append(FieldError(render_path((*path, name)), message, remedy))
