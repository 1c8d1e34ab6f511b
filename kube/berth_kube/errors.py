# ruff: noqa: N818 - the names are what happened, as in the API's own reasons
"""What the API server may answer, as branches of `berth_api.errors`.

    BerthError
    └── ClusterError                carries `status` and the server's words
        ├── NotFound                404: the object, or its kind or namespace, is not there
        ├── AlreadyExists           409: an object of that name is there
        ├── Conflict                409: it changed since it was read, or another manager owns the field
        ├── Expired                 410: too old a version; list again
        ├── Rejected                the object itself is at fault: `fields` say where. Trying again can't help
        ├── Forbidden               403: our role lacks the right, or an admission rule or quota refuses
        ├── Unauthorized            401: credentials are refused
        ├── Overloaded              429: `retry_after_seconds`, if the server said when
        └── Unreachable             no answer, a broken one, a time-out, or 5xx: trying again may help

`berth_kube.classify` makes them from answers. Server-side apply answers 500 for faults of the object: that is Rejected.
"""

from dataclasses import dataclass

from berth_api.errors import BerthError


@dataclass(frozen=True)
class FieldFault:
    """A field that the API server refuses: its path (`spec.template.spec.containers[0].image`) and its words."""

    field: str
    message: str


class ClusterError(BerthError):
    """A request to the API server that did not do what it should; `status` is 0 where there was no answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class NotFound(ClusterError):
    """It is not there."""


class AlreadyExists(ClusterError):
    """An object of that name is there already."""


class Conflict(ClusterError):
    """It changed since it was read, a precondition failed, or another manager owns a field."""


class Expired(ClusterError):
    """The version that was asked for is too old."""


class Rejected(ClusterError):
    """The object can't be stored as it is."""

    def __init__(self, message: str, *, status: int = 0, fields: tuple[FieldFault, ...] = ()) -> None:
        self.fields = fields
        super().__init__(message, status=status)


class Forbidden(ClusterError):
    """The server understood and refuses; `quota` is True where a ResourceQuota is the cause."""

    def __init__(self, message: str, *, status: int = 403, quota: bool = False) -> None:
        self.quota = quota
        super().__init__(message, status=status)


class NamespaceTerminating(Forbidden):
    """Nothing can be made in a namespace that is being deleted."""


class Unauthorized(ClusterError):
    """The credentials are refused."""


class Overloaded(ClusterError):
    """The server has too much to do."""

    def __init__(self, message: str, *, status: int = 429, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message, status=status)


class Unreachable(ClusterError):
    """No usable answer for now."""
