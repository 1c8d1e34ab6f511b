"""Whether an object in the cluster already is as it is wanted. The executor asks before it sends an apply.

A no-op apply costs the server as much as a write, so most answers must be found here: the hash annotated on the object
tells that our wish has changed, and the comparison that somebody else has changed the object.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from berth_api.names import ANNOTATION_APPLIED_HASH
from berth_api.quantity import parse_quantity
from berth_kube.resources import Object

_WHOLE: Final = frozenset({"selector", "podSelector"})
"""Maps that server-side apply replaces whole: a key that somebody added to ours makes them select nothing."""
_KEYS: Final = ("mountPath", "containerPort", "uid", "name", "port", "key", "topologyKey")
"""What identifies the items of lists that are merged; the first that tells the wanted ones apart counts."""


def needs_apply(wanted: Object, found: Object | None) -> bool:
    """Whether `wanted` must be sent. Fields that others or the server added to `found` do not matter."""
    if found is None:
        return True
    hash_found = (found["metadata"].get("annotations") or {}).get(ANNOTATION_APPLIED_HASH)
    return hash_found != wanted["metadata"]["annotations"][ANNOTATION_APPLIED_HASH] or not is_part_of(wanted, found)


def is_part_of(wanted: Any, found: Any) -> bool:
    """Whether everything in `wanted` stands in `found`, be it written otherwise: `1000m` is `1`, empty is absent."""
    if found is None:
        return not wanted
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_is_field_of(found, key, value) for key, value in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return _is_list_part_of(wanted, found)
    return bool(wanted == found) or _is_same_quantity(wanted, found)


def _is_field_of(found: Mapping[str, Any], key: str, wanted: Any) -> bool:
    return bool(found.get(key) == wanted) if key in _WHOLE else is_part_of(wanted, found.get(key))


def _is_list_part_of(wanted: Sequence[Any], found: Any) -> bool:
    if not isinstance(found, Sequence) or isinstance(found, str):
        return False
    key = _merge_key(wanted)
    if key is None:
        return len(wanted) == len(found) and all(map(is_part_of, wanted, found))
    by_key = {item.get(key): item for item in found if isinstance(item, Mapping)}
    return all(is_part_of(item, by_key.get(item[key])) for item in wanted)


def _merge_key(wanted: Sequence[Any]) -> str | None:
    if not wanted or not all(isinstance(item, Mapping) for item in wanted):
        return None
    for key in _KEYS:
        values = [item.get(key) for item in wanted]
        if None not in values and len(set(map(str, values))) == len(values):
            return key
    return None


def _is_same_quantity(wanted: object, found: object) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return False
    try:
        return parse_quantity(str(wanted)) == parse_quantity(str(found))
    except ValueError:
        return False
