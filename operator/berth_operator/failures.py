"""What a child that the API server did not take means for the Model: which of its own fields is at fault, and why."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from berth_api.conditions import Reason
from berth_api.errors import FieldError
from berth_kube.errors import ClusterError, Forbidden, Rejected
from berth_kube.resources import DEPLOYMENTS, PERSISTENT_VOLUME_CLAIMS
from berth_operator.findings import Finding

Failures = Mapping[tuple[str, str], ClusterError]

_CONTAINER: Final = r"containers\[[^]]*\]"
_POD_OPTIONS: Final = (
    "affinity|tolerations|nodeSelector|topologySpreadConstraints|priorityClassName|runtimeClassName"
    "|serviceAccountName|imagePullSecrets"
)
_FIELDS: Final[tuple[tuple[str, str], ...]] = (
    (rf"spec\.template\.spec\.(?P<rest>({_POD_OPTIONS}).*)", "spec.pod.{rest}"),
    (rf"spec\.template\.spec\.{_CONTAINER}\.(?P<rest>env\b.*)", "spec.pod.{rest}"),
    (rf"spec\.template\.spec\.{_CONTAINER}\.(?P<rest>resources\b.*)", "spec.{rest}"),
    (rf"spec\.template\.spec\.{_CONTAINER}\.image", "spec.engine.image"),
    (r"spec\.template\.(metadata\.)?(?P<rest>(labels|annotations)\b.*)", "spec.pod.{rest}"),
    (r"spec\.progressDeadlineSeconds", "spec.rollout.startDeadline"),
    (r"spec\.template\.spec\.terminationGracePeriodSeconds", "spec.rollout.drainTimeout"),
    (r"spec\.template\.spec\.volumes.*", "spec.cache"),
    (r"(?P<rest>spec\.replicas)", "{rest}"),
)
_CLAIM_FIELDS: Final[tuple[tuple[str, str], ...]] = (
    (r"spec\.resources\b.*", "spec.cache.ownedClaim.size"),
    (r"spec\.storageClassName", "spec.cache.ownedClaim.storageClassName"),
    (r"spec\.accessModes\b.*", "spec.cache.ownedClaim.accessMode"),
    (r"spec", "spec.cache.ownedClaim"),
)
"""Of what it is that may not be changed, the API server says no more than `spec`."""
_PATTERNS: Final = tuple((re.compile(pattern), path) for pattern, path in _FIELDS)
_CLAIM_PATTERNS: Final = tuple((re.compile(pattern), path) for pattern, path in _CLAIM_FIELDS)


def refused_fields(failures: Failures) -> tuple[FieldError, ...]:
    """The fields of the Model that made the API server refuse a child, in a fixed order."""
    return tuple(
        error for child, failure in sorted(failures.items(), key=_identity) for error in _errors(child, failure)
    )


def forbidden_child(failures: Failures) -> Finding | None:
    """The first child that may not be written: a quota is used up, or our rights do not reach."""
    for (kind, name), failure in sorted(failures.items(), key=_identity):
        if isinstance(failure, Forbidden):
            reason = Reason.QUOTA_EXCEEDED if failure.quota else Reason.FORBIDDEN
            return Finding(reason, f"the {kind} {name} may not be written: {failure}")
    return None


def user_field(path: str, kind: str = DEPLOYMENTS.kind) -> str | None:
    """The field of a Model that stands behind a field of its child; None where it is all Berth's own doing."""
    for pattern, field in _CLAIM_PATTERNS if kind == PERSISTENT_VOLUME_CLAIMS.kind else _PATTERNS:
        found = pattern.fullmatch(path.lstrip("."))
        if found is not None:
            return field.format(**found.groupdict())
    return None


def _identity(item: tuple[tuple[str, str], ClusterError]) -> tuple[str, str]:
    return item[0]


def _errors(child: tuple[str, str], failure: ClusterError) -> Iterator[FieldError]:
    kind, name = child
    if not isinstance(failure, Rejected):
        return
    if not failure.fields:
        yield FieldError("spec", f"the API server refuses the {kind} {name}: {failure}", "correct what it names")
    for fault in failure.fields:
        field = user_field(fault.field, kind)
        where = "" if field else f" at {fault.field}"
        words, _, _ = fault.message.partition("\n")  # below it, a claim that may not change is printed whole
        message = f"the API server refuses the {kind} {name}{where}: {words}"
        yield FieldError(field or "spec", message, "correct it; what served before goes on serving")
