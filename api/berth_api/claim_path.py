"""`pvc://claim/path`: a model on a PersistentVolumeClaim of the Model's own namespace, which is read where it lies."""

import re
from dataclasses import dataclass

SCHEME = "pvc://"
_FORM = re.compile(r"pvc://([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)((?:/[^/]+)*)/?")
_PIN = re.compile(r"@sha256:[0-9a-f]{64}$")


@dataclass(frozen=True)
class ClaimPath:
    """A place on a claim: a folder or a file below its root, or the root itself where `path` is empty."""

    claim: str
    path: str

    @property
    def uri(self) -> str:
        """The place as it is written, without a pin."""
        return f"{SCHEME}{self.claim}/{self.path}".rstrip("/")


def claim_path(uri: str) -> ClaimPath | None:
    """The place that a source's URI names; None where it is of another scheme, or names none."""
    found = _FORM.fullmatch(_PIN.sub("", uri))
    if found is None or {".", ".."} & set(found[2].split("/")):
        return None
    return ClaimPath(found[1], found[2].removeprefix("/"))
