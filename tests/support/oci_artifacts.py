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


@dataclass(frozen=True)
class Layer:
    """A layer as it comes from elsewhere: any content under any type and annotations."""

    content: bytes = field(repr=False)
    media_type: str
    annotations: dict[str, str] | None = None
    size: int | None = None
    digest: str | None = None


def make_layers(
    layers: list[Layer],
    *,
    config_type: str = mediatypes.CONFIG_MODELPACK,
    config: object = None,
    artifact_type: str | None = None,
) -> MadeArtifact:
    """An artifact of layers, written by hand from the published rules: no code of ours builds its manifest."""
    packed = json.dumps({} if config is None else config).encode()
    described = [
        {
            "mediaType": layer.media_type,
            "digest": layer.digest or digest_of(layer.content),
            "size": len(layer.content) if layer.size is None else layer.size,
            **({"annotations": layer.annotations} if layer.annotations else {}),
        }
        for layer in layers
    ]
    body = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        **({"artifactType": artifact_type} if artifact_type else {}),
        "config": {"mediaType": config_type, "digest": digest_of(packed), "size": len(packed)},
        "layers": described,
    }
    blobs = {digest_of(content): content for content in (packed, *(layer.content for layer in layers))}
    return MadeArtifact(json.dumps(body).encode(), blobs)


def random_bytes(count: int, seed: int = 0) -> bytes:
    """The same bytes for the same seed."""
    return random.Random(seed).randbytes(count)


def _descriptor(content: bytes, media_type: str, name: str | None) -> Descriptor:
    annotations = {mediatypes.ANNOTATION_FILEPATH: name} if name is not None else None
    return Descriptor(media_type=media_type, digest=digest_of(content), size=len(content), annotations=annotations)
