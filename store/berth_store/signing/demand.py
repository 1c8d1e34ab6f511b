"""What is demanded of an artifact's signature, as it was asked for: read and judged only where it is needed.

Kept apart from `berth_store.signing.policies`, whose import takes the library for keys and certificates with it, so
that a pull without a demand does not.
"""

from dataclasses import dataclass
from pathlib import Path

_NO_FILE = "name a PEM file"


@dataclass(frozen=True)
class Demand:
    """A public key (`is_key`) or the certificates of authorities, as PEM text or in a file.

    `field` names it in errors, `remedy` says what to do where there is no such file. `signers` are the names of those
    with a certificate who may sign; none means all.
    """

    field: str
    is_key: bool
    pem: str = ""
    path: Path | None = None
    remedy: str = _NO_FILE
    signers: tuple[str, ...] = ()
