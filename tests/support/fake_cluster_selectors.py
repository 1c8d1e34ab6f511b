"""Label and field selectors as the API server reads them.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from berth_kube.cluster import Scope
from berth_kube.resources import Object

_COMMA = re.compile(r",(?![^(]*\))")
_SET = re.compile(r"(?P<name>\S+)\s+(?P<operator>in|notin)\s+\((?P<values>[^)]*)\)")
_EQUAL = re.compile(r"(?P<name>[^!=\s]+)\s*(?P<operator>==|=|!=)\s*(?P<value>\S*)")


def matches(scope: Scope, obj: Object) -> bool:
    """Whether an object is in a scope."""
    metadata = obj["metadata"]
    if scope.namespace not in ("", metadata.get("namespace", "")):
        return False
    labels = metadata.get("labels") or {}
    return all(_meets(labels, term) for term in _terms(scope.labels)) and all(
        _meets_field(obj, term) for term in _terms(scope.fields)
    )


def _terms(selector: str) -> Iterator[str]:
    return filter(None, (term.strip() for term in _COMMA.split(selector)))


def _meets(labels: Mapping[str, str], term: str) -> bool:
    if found := _SET.fullmatch(term):
        values = {value.strip() for value in found["values"].split(",")}
        return (labels.get(found["name"]) in values) is (found["operator"] == "in")
    if found := _EQUAL.fullmatch(term):
        return (labels.get(found["name"]) == found["value"]) is (found["operator"] != "!=")
    return term[1:].strip() not in labels if term.startswith("!") else term in labels


def _meets_field(obj: Object, term: str) -> bool:
    found = _EQUAL.fullmatch(term)
    assert found is not None, f"{term} is no field selector"
    value: Any = obj
    for name in found["name"].split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return (str(value) == found["value"]) is (found["operator"] != "!=")
