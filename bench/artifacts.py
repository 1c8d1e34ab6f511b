"""Artifacts for the measurement of pulls: random bytes in a registry, and where each of their blobs lies."""

import hashlib
import http.client
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from berth_store import mediatypes
from berth_store.digest import Digest
from berth_store.manifest import Descriptor, build_manifest

PIECE_BYTES = 4 << 20
CONFIG = {"config": {"format": "safetensors"}, "descriptor": {}, "modelfs": {"type": "layers", "diffIds": []}}


@dataclass(frozen=True)
class Blob:
    """One file of an artifact."""

    path: str
    digest: Digest
    size: int


@dataclass(frozen=True)
class Published:
    """An artifact in a registry on 127.0.0.1:`port`."""

    port: int
    repository: str
    blobs: tuple[Blob, ...]

    @property
    def reference(self) -> str:
        """Its name."""
        return f"127.0.0.1:{self.port}/{self.repository}:1"

    @property
    def size_bytes(self) -> int:
        """Bytes of its files."""
        return sum(blob.size for blob in self.blobs)

    def url(self, blob: Blob) -> str:
        """Where one of its files is fetched."""
        return f"http://127.0.0.1:{self.port}/v2/{self.repository}/blobs/{blob.digest}"

    def by_way_of(self, port: int) -> "Published":
        """The same artifact, asked for at another port."""
        return Published(port, self.repository, self.blobs)


def publish(port: int, repository: str, sizes: Mapping[str, int], scratch: Path) -> Published:
    """Put files of random bytes, of these sizes by path, into the registry as one artifact."""
    blobs, chosen = [], random.Random(repository)
    for path, size in sizes.items():
        content = scratch / "content"
        digest = _write_random(content, size, chosen)
        with content.open("rb") as file:
            _upload(port, repository, digest, file, size)
        blobs.append(Blob(path, digest, size))
        content.unlink()
    config = json.dumps(CONFIG).encode()
    described = Descriptor(media_type=mediatypes.CONFIG_V02, digest=_digest_of(config), size=len(config))
    _upload(port, repository, described.digest, config, len(config))
    manifest = build_manifest(config=described, layers=list(_layers(blobs)))
    _send(port, "PUT", f"/v2/{repository}/manifests/1", manifest, {"content-type": mediatypes.OCI_MANIFEST})
    return Published(port, repository, tuple(blobs))


def _layers(blobs: list[Blob]) -> Iterator[Descriptor]:
    for blob in blobs:
        names = {mediatypes.ANNOTATION_FILEPATH: blob.path, mediatypes.ANNOTATION_TITLE: blob.path}
        yield Descriptor(media_type=mediatypes.SAFETENSORS, digest=blob.digest, size=blob.size, annotations=names)


def _write_random(target: Path, size: int, chosen: random.Random) -> Digest:
    hashed = hashlib.sha256()
    with target.open("wb") as file:
        for start in range(0, size, PIECE_BYTES):
            piece = chosen.randbytes(min(PIECE_BYTES, size - start))
            hashed.update(piece)
            file.write(piece)
    return Digest(f"sha256:{hashed.hexdigest()}")


def _digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def _upload(port: int, repository: str, digest: Digest, body: object, size: int) -> None:
    place = urlsplit(_send(port, "POST", f"/v2/{repository}/blobs/uploads/", b"", {}))
    query = f"{place.query}&digest={digest}" if place.query else f"digest={digest}"
    headers = {"content-type": "application/octet-stream", "content-length": str(size)}
    _send(port, "PUT", f"{place.path}?{query}", body, headers)


def _send(port: int, method: str, path: str, body: object, headers: Mapping[str, str]) -> str:
    """The answer's Location; RuntimeError where the registry refuses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body=body, headers=dict(headers))  # type: ignore[arg-type]
        response = connection.getresponse()
        said = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: HTTP {response.status} {said[:200]!r}")
        return response.headers.get("location", "")
    finally:
        connection.close()
