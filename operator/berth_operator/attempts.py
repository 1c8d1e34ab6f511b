"""Child writes that failed and were not repaired since. Facts carry them, so that a condition can name the field.

They live in memory only: after a restart each write is tried once more, which finds the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from berth_api.names import ANNOTATION_APPLIED_HASH
from berth_kube.errors import ClusterError, Rejected
from berth_kube.resources import Object
from berth_operator.subject import Subject

ChildRef = tuple[str, str]
"""Kind and name of a child; it lives in its owner's namespace."""


def ref_of(body: Object) -> ChildRef:
    """The reference of a child."""
    return str(body["kind"]), str(body["metadata"]["name"])


@dataclass(frozen=True)
class Attempt:
    """What was wanted, over what, for which generation of the owner."""

    wish: str
    over: str
    generation: int

    @classmethod
    def of(cls, wanted: Object, found: Object | None, generation: int) -> "Attempt":
        """The attempt to make `found` as `wanted`."""
        wish = (wanted["metadata"].get("annotations") or {}).get(ANNOTATION_APPLIED_HASH, "")
        over = found["metadata"].get("resourceVersion", "") if found is not None else ""
        return cls(wish, over, generation)


class Failures:
    """The failures of all subjects."""

    def __init__(self) -> None:
        self._failed: dict[Subject, dict[ChildRef, tuple[Attempt, ClusterError]]] = {}

    def of(self, subject: Subject) -> Mapping[ChildRef, ClusterError]:
        """What failed for this subject."""
        return {ref: error for ref, (_, error) in self._failed.get(subject, {}).items()}

    def is_hopeless(self, subject: Subject, ref: ChildRef, attempt: Attempt) -> bool:
        """Whether just this was tried and the API server said that the object itself is at fault."""
        known = self._failed.get(subject, {}).get(ref)
        return known is not None and known[0] == attempt and isinstance(known[1], Rejected)

    def record(self, subject: Subject, ref: ChildRef, attempt: Attempt, error: ClusterError) -> None:
        """A write failed."""
        self._failed.setdefault(subject, {})[ref] = attempt, error

    def repaired(self, subject: Subject, ref: ChildRef) -> None:
        """The child is as it should be."""
        self._failed.get(subject, {}).pop(ref, None)

    def outdated(self, subject: Subject, wanted: frozenset[ChildRef], generation: int) -> None:
        """Forget what failed for a former generation and is not wanted any more."""
        failed = self._failed.get(subject, {})
        for ref in [ref for ref, (attempt, _) in failed.items() if ref not in wanted]:
            if failed[ref][0].generation != generation:
                del failed[ref]

    def forget(self, subject: Subject) -> None:
        """The subject is gone."""
        self._failed.pop(subject, None)
