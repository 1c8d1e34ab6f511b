"""The digest of files that no registry's manifest names: what `spec.source.digest` pins, and what pods are held to.

It is the sha256 of one line for each file, `sha256:<hex> <size> <path>`, sorted by path. Where a source tells no sha256
before a file is read (S3, https), what stands there instead is the name of the version that it does tell, so that a
Model is held to what was found first: two digests lead to the same files, and both are accepted. One file alone may
also be pinned by its own sha256.
"""

from collections.abc import Iterable, Sequence

from berth_store.digest import Digest, digest_of
from berth_store.manifest import Manifest
from berth_store.sources.protocol import ListedFile
from berth_store.view import file_layers, layer_names


def content_digest(files: Iterable[tuple[str, int, str]]) -> Digest:
    """The digest of files, each given by its path, its size and the name of its content."""
    lines = (f"{content} {size} {path}\n" for path, size, content in sorted(files, key=lambda file: file[0].encode()))
    return digest_of("".join(lines).encode())


def listed_digest(files: Sequence[ListedFile]) -> Digest:
    """The digest by what the source says of the files, without having read them."""
    return content_digest((file.path, file.size, file.content_name) for file in files)


def stored_digest(manifest: Manifest) -> Digest:
    """The digest of files that are here."""
    layers = zip(layer_names(manifest), file_layers(manifest), strict=True)
    return content_digest((name, layer.size, layer.digest) for name, layer in layers)
