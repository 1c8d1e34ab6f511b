"""The Models and ModelRoutes that count: of each object the last version that is valid. Used by served.py.

A version that this gateway can't read changes nothing that it serves; an object that was never valid is left out until
it is. An object made anew under an old name starts anew.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from berth_api.errors import InvalidSpec
from berth_api.manifest import parse_object
from berth_api.model import Model
from berth_api.model_status import ModelStatus
from berth_api.route import ModelRoute
from berth_kube.resources import Key, Object, key_of, uid_of

_log = logging.getLogger(__name__)

_METADATA = ("namespace", "name", "uid", "resourceVersion", "generation", "creationTimestamp")

Kind = TypeVar("Kind", Model, ModelRoute)


def trim_object(document: Object) -> dict[str, Any]:
    """What of a Model or ModelRoute is needed here: of its status only what the conditions say."""
    metadata = document["metadata"]
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
        "spec": document.get("spec"),
        "status": {"conditions": (document.get("status") or {}).get("conditions") or []},
    }


@dataclass(frozen=True)
class Good(Generic[Kind]):
    """A valid version: as it was read, and what it means with the newest status."""

    document: Object
    parsed: Kind


class Declared(Generic[Kind]):
    """The last valid versions of one kind. Their parsing is what a new snapshot costs, so it is done once for each."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind: type[Kind] = kind
        self._good: dict[Key, Good[Kind]] = {}
        self._seen: dict[Key, Object] = {}
        self._refused: dict[Key, str] = {}

    @property
    def refused(self) -> Mapping[Key, str]:
        """The objects whose newest version is not valid, and why."""
        return self._refused

    def take(self, documents: Iterable[Object]) -> tuple[Good[Kind], ...]:
        """What counts when these are all objects of the kind, trimmed, in the order of their names."""
        present = {key_of(document): document for document in documents}
        for known in (self._good, self._seen, self._refused):
            for key in known.keys() - present.keys():
                del known[key]
        for key, document in present.items():
            if self._seen.get(key) is not document:
                self._look(key, document)
                self._seen[key] = document
        return tuple(good for _, good in sorted(self._good.items()))

    def _look(self, key: Key, document: Object) -> None:
        before = self._good.get(key)
        if before is not None and uid_of(before.document) != uid_of(document):
            before = None
            del self._good[key]
        if before is not None and _is_same_version(before.document, document):
            self._refused.pop(key, None)
            self._good[key] = Good(document, _with_status(before.parsed, document))
            return
        try:
            parsed = self._parse(document)
        except InvalidSpec as error:
            self._refuse(key, str(error), kept=before is not None)
            if before is not None:
                self._good[key] = Good(before.document, _with_status(before.parsed, document))
            return
        self._refused.pop(key, None)
        self._good[key] = Good(document, _with_status(parsed, document))

    def _parse(self, document: Object) -> Kind:
        parsed = parse_object({name: part for name, part in document.items() if name != "status"})
        # The kind was asked for by its own path.
        assert isinstance(parsed, self._kind)
        return parsed

    def _refuse(self, key: Key, why: str, *, kept: bool) -> None:
        if self._refused.get(key) == why:
            return
        self._refused[key] = why
        then = "its last valid version is served on" if kept else "it is left out until it is"
        _log.warning(
            "a version is not valid, %s", then, extra={"kind": self._kind.__name__, "object": str(key), "why": why}
        )


def _is_same_version(old: Object, new: Object) -> bool:
    return bool(old["metadata"].get("generation") == new["metadata"].get("generation") and old["spec"] == new["spec"])


def _with_status(parsed: Kind, document: Object) -> Kind:
    """With what is said now; ModelRoutes are routed by their spec alone."""
    if not isinstance(parsed, Model):
        return parsed
    try:
        status = ModelStatus.model_validate({"conditions": document.get("status", {}).get("conditions", [])})
    except ValidationError:
        # What a client reads of a Model's trouble must not decide whether the Model is served.
        status = ModelStatus()
    return parsed.model_copy(update={"status": status})
