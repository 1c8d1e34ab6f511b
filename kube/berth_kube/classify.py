"""From an answer of the API server to an error of `errors.py`. Pure; called by client.py.

| answer | error |
|---|---|
| 400, 413, 415, 422 and every 4xx not named here | Rejected, with the fields of `details.causes` |
| 500 "failed to create typed patch object", "failed to convert new object" | Rejected, as server-side apply says it |
| 401, 403, 404, 410, 429 | Unauthorized, Forbidden, NotFound, Expired, Overloaded |
| 403 with the cause NamespaceTerminating | NamespaceTerminating: nothing is to be made any more |
| 400 or 422 of a webhook or policy that "denied the request" | Forbidden: the rule may change, the object need not |
| 504 with the cause ResourceVersionTooLarge | Expired: the server's history begins anew, as after a restore |
| 409 | AlreadyExists by its reason, else Conflict |
| 422 whose only field is `metadata.uid` | Conflict: the UID that was given as a precondition is another object's |
| other 5xx, redirects | Unreachable |

The body is a `Status`: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/. Proxies on the
way answer HTML or nothing; then the HTTP status alone decides.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from berth_kube.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Expired,
    FieldFault,
    Forbidden,
    NamespaceTerminating,
    NotFound,
    Overloaded,
    Rejected,
    Unauthorized,
    Unreachable,
)

_PATCH_FAULT = re.compile(
    r"failed to (?:create typed patch object|convert new object) \(.*?\)(?: to proper version)?: (?P<faults>.*)",
    re.DOTALL,
)
_POLICY_FAULT = re.compile(
    r"(?:^|: )(?:admission webhook \"[^\"]*\" denied the request"
    r"|ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request)"
)
_FAULT_LINE = re.compile(r"(?P<field>\.\S.*?): (?P<message>.*)")
_NOT_CHECKED = "<nil>"
"""The field of a line that only says that rules were skipped because of the other lines."""
_SHOWN_BYTES = 200


def classify(request: str, status: int, body: bytes, *, retry_after: str | None = None) -> ClusterError:
    """The error of an HTTP answer. `request` says what was asked: `apply Deployment default/m`.

    `retry_after` is the header's value, if there was one.
    """
    document = _parse(body)
    message = str(document.get("message") or "") or _shorten(body) or "nothing more was said"
    return _error(f"{request}: {message} (HTTP {status})", message, status, document, retry_after)


def classify_event(request: str, document: Mapping[str, Any]) -> ClusterError:
    """The error of an ERROR line in a watch, whose object is a Status."""
    code = document.get("code")
    status = code if isinstance(code, int) else 0
    message = str(document.get("message") or "the server ended the watch without a word")
    return _error(f"{request}: {message} (ERROR {status})", message, status, document, None)


def _error(  # noqa: PLR0911 - a table in the form of a match
    text: str, message: str, status: int, document: Mapping[str, Any], retry_after: str | None
) -> ClusterError:
    match status:
        case 401:
            return Unauthorized(text, status=status)
        case 400 | 403 | 422 if status == 403 or _POLICY_FAULT.search(message) is not None:
            ends = _has_cause(document, "NamespaceTerminating")
            kind = NamespaceTerminating if ends else Forbidden
            return kind(text, status=status, quota="exceeded quota" in message)
        case 404:
            return NotFound(text, status=status)
        case 409 if document.get("reason") == "AlreadyExists":
            return AlreadyExists(text, status=status)
        case 409:
            return Conflict(text, status=status)
        case 410:
            return Expired(text, status=status)
        case 429:
            return Overloaded(text, status=status, retry_after_seconds=_retry_after(document, retry_after))
        case 500 if (fault := _PATCH_FAULT.match(message)) is not None:
            return Rejected(text, status=status, fields=_patch_faults(fault["faults"]))
        case 504 if _has_cause(document, "ResourceVersionTooLarge"):
            return Expired(text, status=status)
        case 422 if {fault.field for fault in _cause_faults(document)} == {"metadata.uid"}:
            return Conflict(text, status=status)
        case _ if 400 <= status < 500:
            return Rejected(text, status=status, fields=_cause_faults(document))
        case _:
            return Unreachable(text, status=status)


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and document.get("kind") == "Status" else {}


def _shorten(body: bytes) -> str:
    text = " ".join(body[: 4 * _SHOWN_BYTES].decode(errors="replace").split())
    return text if len(text) <= _SHOWN_BYTES else text[:_SHOWN_BYTES] + "…"


def _details(document: Mapping[str, Any]) -> Mapping[str, Any]:
    details = document.get("details")
    return details if isinstance(details, dict) else {}


def _causes(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    causes = _details(document).get("causes")
    return [cause for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []


def _has_cause(document: Mapping[str, Any], reason: str) -> bool:
    return any(cause.get("reason") == reason for cause in _causes(document))


def _cause_faults(document: Mapping[str, Any]) -> tuple[FieldFault, ...]:
    return tuple(
        FieldFault(str(cause.get("field", "")).removeprefix("."), str(cause.get("message", "")))
        for cause in _causes(document)
        if cause.get("field") not in (None, "", _NOT_CHECKED)
    )


def _patch_faults(text: str) -> tuple[FieldFault, ...]:
    """The faults of a typed patch: one after the colon, or `errors:` and one in each line. A conversion names none."""
    lines = (line.strip() for line in text.removeprefix("errors:").splitlines())
    found = (_FAULT_LINE.match(line) for line in lines)
    return tuple(FieldFault(fault["field"].removeprefix("."), fault["message"]) for fault in found if fault is not None)


def _retry_after(document: Mapping[str, Any], header: str | None) -> float | None:
    """Seconds from the header, else from the body. A date in the header is not used: no API server sends one."""
    for value in (header, _details(document).get("retryAfterSeconds")):
        try:
            seconds = float(value) if value is not None else 0.0
        except (TypeError, ValueError):
            continue
        if 0 < seconds < float("inf"):
            return seconds
    return None
