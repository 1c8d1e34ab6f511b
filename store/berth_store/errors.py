# ruff: noqa: N818 - the names are the reasons of the conditions that these become
"""What can go wrong with an artifact's source or with the store, as branches of `berth_api.errors`.

    BerthError
    ├── InvalidSpec                 a reference that can't be right (see `berth_store.reference`)
    ├── UnsupportedModel
    │   └── NoModelInSource         it was found, and it is no model, or one that is refused for safety
    └── Unavailable
        └── SourceError             carries the condition reason and the reference or registry
            ├── SourceNotFound      no such repository, tag or blob
            ├── SourceUnauthorized  refused without, or with, the credentials that were found
            ├── LicenseGated        its licence must be accepted first, by the account whose token is used
            ├── SourceUnreachable   DNS, connection, TLS, time-out, overload, a server that breaks the protocol
            ├── DigestMismatch      the bytes are not the ones that the digest names
            ├── SignatureMissing    nobody has signed it, and a signature is demanded
            ├── SignatureInvalid    it is not signed by whom it has to be, or is not what was signed
            └── DiskFull            this machine's disk has not enough room
                └── QuotaReached    the disk may have some, and the store may not have so much

`reason` is the word of the Model's condition; the message says what, why and what to do.
"""

from typing import ClassVar, Self

from berth_api.errors import Unavailable, UnsupportedModel


class NoModelInSource(UnsupportedModel):
    """The source exists and holds nothing that can be served; trying again changes nothing."""

    reason: ClassVar[str] = "NoModelInSource"


class SourceError(Unavailable):
    """A source that can't be read, or a destination that can't be written, for now."""

    reason: ClassVar[str] = "SourceUnreachable"


class SourceNotFound(SourceError):
    """The registry, or this machine's store, has no such repository, tag or blob."""

    reason: ClassVar[str] = "SourceNotFound"


class SourceUnauthorized(SourceError):
    """The registry wants credentials, or refuses the ones that were found."""

    reason: ClassVar[str] = "SourceUnauthorized"


class LicenseGated(SourceError):
    """The model's makers want its licence accepted before they give it to an account."""

    reason: ClassVar[str] = "LicenseGated"


class SourceUnreachable(SourceError):
    """No answer, or no usable one. `permanent` is True where trying again can't help (a certificate, a lie)."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class DigestMismatch(SourceError):
    """The content is not what its digest promises."""

    reason: ClassVar[str] = "DigestMismatch"


class SignatureMissing(SourceError):
    """A signature is demanded and there is none, neither beside the files nor attached to the artifact."""

    reason: ClassVar[str] = "SignatureMissing"


class SignatureInvalid(SourceError):
    """No signature that is there is by whom it has to be, over what is there."""

    reason: ClassVar[str] = "SignatureInvalid"


class DiskFull(SourceError):
    """The store's file system has not enough room. `what` is the message without what to do about it.

    `lacking_bytes` is how much would help, where that is known; `is_final` is True where nothing that is freed helps.
    `keeps` are the hexes of blobs that have come, whole or in part, and have no name yet: they are not to be freed.
    """

    reason: ClassVar[str] = "DiskFull"
    remedy: ClassVar[str] = "free some, or move the store with BERTH_HOME"

    def __init__(
        self,
        what: str,
        *,
        remedy: str = "",
        lacking_bytes: int = 0,
        is_final: bool = False,
        keeps: frozenset[str] = frozenset(),
    ) -> None:
        self.what = what
        self.lacking_bytes = lacking_bytes
        self.is_final = is_final
        self.keeps = keeps
        self._remedy = remedy
        super().__init__(f"{what}; {remedy or self.remedy}")

    def with_remedy(self, remedy: str) -> Self:
        """The same, with another way out."""
        return self._changed(remedy, self.keeps)

    def keeping(self, blobs: frozenset[str]) -> Self:
        """The same, which keeps these blobs too."""
        return self._changed(self._remedy, self.keeps | blobs)

    def _changed(self, remedy: str, keeps: frozenset[str]) -> Self:
        return type(self)(
            self.what, remedy=remedy, lacking_bytes=self.lacking_bytes, is_final=self.is_final, keeps=keeps
        )


class QuotaReached(DiskFull):
    """The store would have more bytes than its quota allows."""

    reason: ClassVar[str] = "CacheQuotaExceeded"
    remedy: ClassVar[str] = "raise the quota"
