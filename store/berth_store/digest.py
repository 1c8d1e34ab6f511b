"""Digests: the only names under which content lies in the store.

A digest becomes part of a path, so nothing but `sha256:` and 64 lower-case hexadecimal digits ever becomes one.
"""

import hashlib
import re
from typing import NewType

from berth_api.errors import FieldError, InvalidSpec

Digest = NewType("Digest", str)
DIGEST_PATTERN = r"sha256:[0-9a-f]{64}"
_DIGEST = re.compile(DIGEST_PATTERN)


def parse_digest(text: str, *, path: str = "digest") -> Digest:
    """The digest that `text` is, or InvalidSpec naming `path`."""
    if _DIGEST.fullmatch(text) is None:
        raise InvalidSpec(FieldError(path, f"{text[:100]!r} is no digest", "write sha256: and 64 digits 0-9a-f"))
    return Digest(text)


def digest_of(content: bytes) -> Digest:
    """The digest of `content`."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def hex_of(digest: Digest) -> str:
    """The 64 digits of a digest: its name as a file."""
    return digest.removeprefix("sha256:")
