"""Fields of an object as server-side apply sees them: paths into it, merging, and taking out what nobody owns.

A path is a tuple: a text for a field of an object, a `ListKey` for an item of a list whose items have an identity.
Which lists those are and which objects count as one value is in the tables here, for the kinds that Berth writes;
everything else follows the rule: objects are merged, lists are replaced.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# By the name of the list: alternatives, of which the first whose fields the items have is taken.
_LIST_KEYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "env": (("name",),),
    "volumes": (("name",),),
    "volumeMounts": (("mountPath",),),
    "imagePullSecrets": (("name",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "conditions": (("type",),),
    "ownerReferences": (("uid",),),
}
_DEFAULTS = {"protocol": "TCP"}
_ATOMIC = frozenset({"selector", "nodeSelector", "podSelector", "namespaceSelector"})


@dataclass(frozen=True)
class ListKey:
    """The identity of a list's item: its key fields with their values."""

    fields: tuple[tuple[str, Any], ...]


Path = tuple[str | ListKey, ...]


def leaves(value: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """The paths of everything that an apply of `value` owns, items of keyed lists among them."""
    for name, inner in value.items():
        yield from _leaves_of(inner, (*path, name))


def _leaves_of(value: Any, path: Path) -> Iterator[Path]:
    name = path[-1]
    if isinstance(value, dict) and value and name not in _ATOMIC:
        yield from leaves(value, path)
    elif isinstance(value, list) and isinstance(name, str) and (keys := _key_fields(name, value)):
        for item in value:
            where = (*path, _key_of(item, keys))
            yield where
            yield from leaves(item, where)
    else:
        yield path


def merge(into: dict[str, Any], value: Mapping[str, Any]) -> None:
    """Put every field of `value` into an object."""
    for name, new in value.items():
        old = into.get(name)
        if isinstance(old, dict) and isinstance(new, dict) and name not in _ATOMIC:
            merge(old, new)
        elif isinstance(old, list) and isinstance(new, list) and (keys := _key_fields(name, [*old, *new])):
            _merge_items(old, new, keys)
        else:
            into[name] = copy.deepcopy(new)


def _merge_items(into: list[Any], items: list[Any], keys: tuple[str, ...]) -> None:
    known = {_key_of(item, keys): item for item in into}
    for item in items:
        key = _key_of(item, keys)
        if key in known:
            merge(known[key], item)
        else:
            into.append(copy.deepcopy(item))


def prefixes(paths: Iterable[Path]) -> frozenset[Path]:
    """The paths, and all that lie on the way to them."""
    return frozenset(path[:length] for path in paths for length in range(1, len(path) + 1))


def remove(value: Any, path: Path) -> None:
    """Take a field or item out, and the objects and lists that are empty then. One that is not there is fine."""
    step, *rest = path
    index = _find(value, step)
    if index is None:
        return
    if rest:
        remove(value[index], tuple(rest))
    if not rest or value[index] in ({}, []):
        del value[index]


def read(value: Any, path: Path) -> Any:
    """What stands at a path; None where nothing does."""
    for step in path:
        index = _find(value, step)
        if index is None:
            return None
        value = value[index]
    return value


def _find(value: Any, step: str | ListKey) -> Any:
    if isinstance(value, dict) and isinstance(step, str):
        return step if step in value else None
    if isinstance(value, list) and isinstance(step, ListKey):
        names = tuple(name for name, _ in step.fields)
        return next((index for index, item in enumerate(value) if _key_of(item, names) == step), None)
    return None


def _key_fields(name: str, items: list[Any]) -> tuple[str, ...] | None:
    for keys in _LIST_KEYS.get(name, ()):
        if items and all(isinstance(item, dict) and keys[0] in item for item in items):
            return keys
    return None


def _key_of(item: Mapping[str, Any], keys: tuple[str, ...]) -> ListKey:
    return ListKey(tuple((key, item.get(key, _DEFAULTS.get(key))) for key in keys))
