"""How a loader or resolver ends: one JSON object in the container's termination message, which the operator reads.

Kubernetes cuts a message of more than 4 KiB, and a cut object says nothing, so texts are cut here before. A failure is
`{"reason": "SourceNotFound", "message": "…"}`, where the reason is that of the Model's condition.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from berth_api.conditions import Reason
from berth_api.errors import BerthError, InvalidSpec, PickleRefused, UnsupportedModel
from berth_store.errors import NoModelInSource, SourceError

DEFAULT_LOG = Path("/dev/termination-log")
MAX_BYTES = 4096
# Of trouble on this side: a volume that can't be written, a file system that does not answer.
UNUSABLE = "StoreUnusable"
_CUT = "…"


def reason_of(error: BerthError | OSError) -> str:
    """The word for the condition that `error` becomes."""
    match error:
        case InvalidSpec():
            return error.errors[0].reason
        case PickleRefused():
            return Reason.PICKLE_REFUSED
        case UnsupportedModel():
            return NoModelInSource.reason
        case SourceError():
            return error.reason
        case _:
            return UNUSABLE


def render_failure(reason: str, message: str) -> bytes:
    """The object of a failure; the message is cut where it is too long."""
    return _fit({"reason": reason}, "message", message)


def render_success(facts: Mapping[str, object], notes: Sequence[str]) -> bytes:
    """The object of a success: `facts` whole, and of `notes` as many as fit."""
    kept = list(notes)
    while kept and len(_render({**facts, "notes": kept})) > MAX_BYTES:
        kept.pop()
    return _render({**facts, "notes": kept})


def write_termination(path: Path, content: bytes) -> None:
    """Put the message where the kubelet looks. Where nothing looks (no such file or folder) that is no trouble."""
    try:
        path.write_bytes(content)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        return


def end_with(error: BerthError | OSError, log: Path) -> int:
    """Tell a failure in the termination message and on stderr; the exit status."""
    reason, message = reason_of(error), str(error)
    write_termination(log, render_failure(reason, message))
    sys.stderr.write(f"{reason}: {message}\n")
    return 1


def _fit(known: Mapping[str, object], name: str, text: str) -> bytes:
    text = text[:MAX_BYTES]
    content = _render({**known, name: text})
    while len(content) > MAX_BYTES:
        # One character is at most six bytes of JSON, so this takes few turns and never more than needed by far.
        text = text.removesuffix(_CUT)[: -max(1, (len(content) - MAX_BYTES) // 6)] + _CUT
        content = _render({**known, name: text})
    return content


def _render(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")
