"""What Berth asked of the API server, from the server's own audit log."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from e2e.support.release import NAMESPACE

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
Right = tuple[str, str, str]
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
    is_forbidden: bool
    """Whether the account lacked the right; a quota or a namespace that ends forbids in other words."""

    @property
    def rights(self) -> frozenset[Right]:
        """What it took: verb, group, and resource with its subresource. An apply that makes an object also creates."""
        verbs = {self.verb, "create"} if self.verb == "patch" and self.status == HTTPStatus.CREATED else {self.verb}
        return frozenset((verb, self.group, self.resource) for verb in verbs)

    @property
    def is_write(self) -> bool:
        """Whether it changed something other than a Lease."""
        return self.verb in WRITES and self.resource != "leases"


class AuditLog:
    """The log, of which a part can be looked at: `mark` now, `since` then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._excuses = path.with_name("excuses.json")

    def mark(self) -> int:
        """Where the log ends now."""
        return self._path.stat().st_size

    def since(self, mark: int = 0) -> list[Request]:
        """Berth's requests after a mark, in their order."""
        return [request for _, request in self._requests(mark)]

    @contextmanager
    def excused(self) -> Iterator[None]:
        """Meanwhile requests may be forbidden: roles go with their release, and a server that starts knows none."""
        begins = self.mark()
        try:
            yield
        finally:
            self._excuses.write_text(json.dumps([*self._excused_parts(), [begins, self.mark()]]))

    def without_excuse(self) -> list[Request]:
        """Berth's requests but for those in excused parts."""
        parts = self._excused_parts()
        return [request for at, request in self._requests(0) if not any(begin < at <= end for begin, end in parts)]

    def _excused_parts(self) -> list[tuple[int, int]]:
        known = json.loads(self._excuses.read_text()) if self._excuses.exists() else []
        return [(begin, end) for begin, end in known]

    def _requests(self, mark: int) -> Iterator[tuple[int, Request]]:
        with self._path.open("rb") as log:
            log.seek(mark)
            at = mark
            for line in log:
                at += len(line)
                # The last line may be cut: it is still being written.
                if _PREFIX.encode() in line and line.endswith(b"}\n"):
                    event = json.loads(line)
                    if event["user"]["username"].startswith(_PREFIX) and "objectRef" in event:
                        yield at, _request(event)


def _request(event: dict[str, Any]) -> Request:
    what = event["objectRef"]
    return Request(
        account=event["user"]["username"].removeprefix(_PREFIX),
        verb=event["verb"],
        group=what.get("apiGroup", ""),
        resource="/".join(filter(None, (what.get("resource", ""), what.get("subresource", "")))),
        namespace=what.get("namespace", ""),
        name=what.get("name", ""),
        status=event.get("responseStatus", {}).get("code", 0),
        is_forbidden=event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid",
    )
