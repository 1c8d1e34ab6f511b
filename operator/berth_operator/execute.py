"""Carries a Plan out: writes in their order, then deletions, labels, status and events. Used by reconcile.py.

What is already so is not written. A write that the API server refuses for the object's own fault is not tried again
until what is wanted, or what is there, has changed. A write that failed ends the writes of this round, because those
after it rest on it (no pod without its policies), but not the status: that is where the user reads of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from berth_kube.cluster import Cluster
from berth_kube.errors import (
    ClusterError,
    Conflict,
    NamespaceTerminating,
    NotFound,
    Overloaded,
    Rejected,
    Unauthorized,
    Unreachable,
)
from berth_kube.resources import PODS, Object
from berth_operator.attempts import Attempt, ChildRef, Failures, ref_of
from berth_operator.plan import Apply, Delete, Plan, Unlabel
from berth_operator.subject import Kind, Subject
from berth_operator.write import Writer

FIELD_MANAGER = "berth-operator"

NeedsApply = Callable[[Object, Object | None], bool]
"""Whether what is found (None: nothing) differs from what is wanted. See drift.py."""

Learn = Callable[[Kind, Object], None]
"""Takes in how an object of ours stands after our own write, before any watch tells. It must not block."""

Record = Callable[[Object, str, str, str], None]
"""Tells an Event of an object: type, reason, message. Never waits and never fails."""


@dataclass(frozen=True)
class Writes:
    """How the writes of a plan went. `trouble` is the first failure that trying again may repair."""

    failures: Mapping[ChildRef, ClusterError]
    trouble: ClusterError | None = None


class Executor:
    """Writes to `cluster` through `writer`."""

    def __init__(self, cluster: Cluster, writer: Writer, needs_apply: NeedsApply, record: Record, learn: Learn) -> None:
        self._cluster = cluster
        self._writer = writer
        self._needs_apply = needs_apply
        self._record = record
        self._learn = learn
        self.failures = Failures()

    async def write_children(
        self, subject: Subject, generation: int, plan: Plan, children: Mapping[ChildRef, Object]
    ) -> Writes:
        """Everything but status and events. `children` is what was found at the names of what is to be written."""
        self.failures.outdated(subject, frozenset(ref_of(write.body) for write in plan.writes), generation)
        trouble: ClusterError | None = None
        try:
            for write in plan.writes:
                found = children.get(ref_of(write.body))
                failed = await self._apply(subject, generation, write, found)
                trouble = trouble or failed
                if ref_of(write.body) in self.failures.of(subject):
                    break  # what comes later in a plan rests on what came before
            for delete in plan.deletes:
                await self._delete(delete)
            for unlabel in plan.unlabels:
                await self._unlabel(unlabel)
        except NamespaceTerminating:
            pass  # the subject goes with its namespace, and nothing is to be repaired until then
        except ClusterError as error:
            trouble = trouble or error
        return Writes(self.failures.of(subject), trouble)

    async def write_status(self, subject: Subject, document: Object, plan: Plan) -> bool:
        """The status, if it differs from what the object shows, then events; whether a status was written.

        Raises Conflict where what was looked at is not the newest: then nothing is told either.

        The resource version guards it: the API server ignores a UID given with a status, and a status of what was read
        must not land on a newer spec, or on an object made anew under the same name. What was written is known at once:
        the next look must not write over a version that is only late in coming back.
        """
        differs = plan.status is not None and plan.status != document.get("status", {})
        if plan.status is not None and differs and not await self._apply_status(subject, document, plan.status):
            return False
        for notice in plan.notices:
            self._record(document, notice.type, notice.reason, notice.message)
        return differs

    async def _apply_status(self, subject: Subject, document: Object, status: Object) -> bool:
        metadata = document["metadata"]
        named = {name: metadata[name] for name in ("name", "namespace", "resourceVersion") if name in metadata}
        resource = subject.kind.resource
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": named, "status": status}
        try:
            written = await self._writer.write(
                "status", resource.kind, lambda: self._cluster.apply_status(resource, body, manager=FIELD_MANAGER)
            )
        except NotFound:
            return False  # deleted meanwhile, its status with it
        self._learn(subject.kind, written)
        return True

    async def _apply(
        self, subject: Subject, generation: int, write: Apply, found: Object | None
    ) -> ClusterError | None:
        """Apply one child. Returns a failure after which the next child may be tried; raises where it may not."""
        ref = ref_of(write.body)
        attempt = Attempt.of(write.body, found, generation)
        if not self._needs_apply(write.body, found):
            self.failures.repaired(subject, ref)
            return None
        if self.failures.is_hopeless(subject, ref, attempt):
            return None
        try:
            await self._writer.write(
                "apply",
                write.resource.kind,
                lambda: self._cluster.apply(write.resource, write.body, manager=FIELD_MANAGER),
            )
        except NamespaceTerminating:
            raise
        except ClusterError as error:
            self.failures.record(subject, ref, attempt, error)
            if isinstance(error, Unreachable | Overloaded | Unauthorized):
                raise
            return None if isinstance(error, Rejected) else error
        self.failures.repaired(subject, ref)
        return None

    async def _delete(self, delete: Delete) -> None:
        try:
            await self._writer.write(
                "delete",
                delete.resource.kind,
                lambda: self._cluster.delete(delete.resource, delete.key, uid=delete.uid),
            )
        except (Conflict, NotFound):
            return  # what was to go has gone, and what has its name now was not meant

    async def _unlabel(self, unlabel: Unlabel) -> None:
        patch = {"metadata": {"uid": unlabel.uid, "labels": {unlabel.label: None}}}
        try:
            await self._writer.write("patch", PODS.kind, lambda: self._cluster.merge(PODS, unlabel.key, patch))
        except (Conflict, NotFound):
            return
