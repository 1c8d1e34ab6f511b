"""Model artifacts made up for tests: any bytes as files, with a true manifest around them."""

import json
import random
from dataclasses import dataclass, field

from berth_store import mediatypes
from berth_store.digest import Digest, digest_of
from berth_store.manifest import Descriptor, build_manifest


@dataclass(frozen=True)
class MadeArtifact:
    """An artifact in memory: its manifest's bytes, and every blob by digest."""

    manifest: bytes
    blobs: dict[Digest, bytes] = field(repr=False)

    @property
    def digest(self) -> Digest:
        return digest_of(self.manifest)

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.blobs.values()))


def make_artifact(
    files: dict[str, bytes],
    *,
    config: dict[str, object] | None = None,
    config_type: str = mediatypes.CONFIG_V02,
    layer_type: str = mediatypes.MODEL_FILE,
) -> MadeArtifact:
    """An artifact whose layers are `files`, named by the annotation that Docker uses."""
    packed = json.dumps(config if config is not None else {"config": {"format": "gguf"}}).encode()
    blobs = {digest_of(content): content for content in (packed, *files.values())}
    manifest = build_manifest(
        config=_descriptor(packed, config_type, None),
        layers=[_descriptor(content, layer_type, name) for name, content in files.items()],
    )
    return MadeArtifact(manifest, blobs)


def random_bytes(count: int, seed: int = 0) -> bytes:
    """The same bytes for the same seed."""
    return random.Random(seed).randbytes(count)


def _descriptor(content: bytes, media_type: str, name: str | None) -> Descriptor:
    annotations = {mediatypes.ANNOTATION_FILEPATH: name} if name is not None else None
    return Descriptor(media_type=media_type, digest=digest_of(content), size=len(content), annotations=annotations)
