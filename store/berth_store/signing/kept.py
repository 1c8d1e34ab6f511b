"""Signatures in the store: `signatures/<hex of the artifact>/<hex of the signature>`, kept beside what they sign.

They are no part of the artifact, whose digest is the same whoever signs it. What is kept was not necessarily believed:
each Model that uses the artifact has it judged by its own demand. A sweep takes them away with the artifact.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from berth_store.digest import Digest, digest_of, hex_of
from berth_store.durable import write_atomically, writing
from berth_store.signing.bundle import MAX_BUNDLE_BYTES, MAX_SIGNATURES

if TYPE_CHECKING:
    from berth_store.local import Store


def keep(store: "Store", artifact: Digest, signatures: Iterable[bytes]) -> None:
    """Add signatures to those of an artifact; of more than may be looked at, the oldest go.

    The caller is `using()` the store.
    """
    folder = store.signatures / hex_of(artifact)
    with writing(store.root):
        folder.mkdir(parents=True, exist_ok=True)
        for content in signatures:
            write_atomically(folder / hex_of(digest_of(content)), content, scratch=store.ingest, mode=0o444)
        newest_first = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in newest_first[MAX_SIGNATURES:]:
            path.unlink(missing_ok=True)


def kept_paths(store: "Store", artifact: Digest) -> list[Path]:
    """Where the signatures of an artifact lie."""
    folder = store.signatures / hex_of(artifact)
    return sorted(folder.iterdir())[:MAX_SIGNATURES] if folder.is_dir() else []


def read_kept(store: "Store", artifact: Digest) -> list[bytes]:
    """The signatures of an artifact; what is too large to be one is cut, and so is none."""
    found = []
    for path in kept_paths(store, artifact):
        try:
            with path.open("rb") as file:
                found.append(file.read(MAX_BUNDLE_BYTES + 1))
        except FileNotFoundError:
            continue  # Somebody has kept a newer one in its place.
    return found
