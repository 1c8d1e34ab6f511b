"""What Berth asked of the API server, from the server's own audit log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from e2e.support.release import NAMESPACE

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_PREFIX = f"system:serviceaccount:{NAMESPACE}:"


@dataclass(frozen=True)
class Request:
    """One answered request of one of Berth's service accounts."""

    account: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    status: int

    @property
    def right(self) -> tuple[str, str, str]:
        """Verb, group and resource with its subresource, as a role grants them."""
        return self.verb, self.group, self.resource

    @property
    def is_forbidden(self) -> bool:
        """Whether our role lacked the right."""
        return self.status == HTTPStatus.FORBIDDEN

    @property
    def is_write(self) -> bool:
        """Whether it changed something other than a Lease."""
        return self.verb in WRITES and self.resource != "leases"


class AuditLog:
    """The log, of which a part can be looked at: `mark` now, `since` then."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """Where the log ends now."""
        return self._path.stat().st_size

    def since(self, mark: int = 0) -> list[Request]:
        """Berth's requests after a mark, in their order."""
        with self._path.open("rb") as log:
            log.seek(mark)
            return list(_requests(log.read().decode(errors="replace")))


def _requests(text: str) -> Iterator[Request]:
    for line in text.splitlines():
        # The last line may be cut: it is still being written. A watch is told of when it starts and when it ends.
        if line.startswith("{") and line.endswith("}") and _PREFIX in line:
            event = json.loads(line)
            if event["user"]["username"].startswith(_PREFIX) and "objectRef" in event:
                yield _request(event)


def _request(event: dict[str, Any]) -> Request:
    what = event["objectRef"]
    resource = "/".join(filter(None, (what.get("resource", ""), what.get("subresource", ""))))
    return Request(
        account=event["user"]["username"].removeprefix(_PREFIX),
        verb=event["verb"],
        group=what.get("apiGroup", ""),
        resource=resource,
        namespace=what.get("namespace", ""),
        name=what.get("name", ""),
        status=event.get("responseStatus", {}).get("code", 0),
    )
