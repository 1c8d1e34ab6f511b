"""What is to be done for one object, as a value: made by pure functions, carried out by `execute.py`."""

from dataclasses import dataclass

from berth_kube.resources import Key, Object, Resource


@dataclass(frozen=True)
class Apply:
    """Server-side apply of a whole child object; skipped where the object in the cluster already is as `body` wants it.

    `body` carries the annotation with the hash of what is wanted.
    """

    resource: Resource
    body: Object


@dataclass(frozen=True)
class Delete:
    """Deletion of exactly the object with this UID."""

    resource: Resource
    key: Key
    uid: str


@dataclass(frozen=True)
class Unlabel:
    """Removal of one label from exactly the pod with this UID."""

    key: Key
    uid: str
    label: str


@dataclass(frozen=True)
class Notice:
    """An Event for people who ask `kubectl describe`: `type` is Normal or Warning, `reason` a word in CamelCase."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """Everything that one reconcile wants. Carried out in this order: writes, deletions, labels, status, events.

    `status` is the whole status that the object should have, as JSON; None leaves it. It is written only if it differs
    from what the object shows. `again_after_seconds` asks for another look even if nothing happens.
    """

    writes: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    unlabels: tuple[Unlabel, ...] = ()
    status: Object | None = None
    notices: tuple[Notice, ...] = ()
    again_after_seconds: float | None = None
