"""Which layers of a manifest are archives, how they are compressed, and how much of them counts. Pure.

- Docker: `….dir.tar` and `….vllm.config.tar`. ModelPack: `….v1.tar`, `.tar+gzip`, `.tar+zstd`. KitOps the same.
- Plain oras: a folder is `layer.v1.tar+gzip`. A single file is `layer.v1.tar` by default and no archive at all: there
  the title is the file's name, and `io.deis.oras.content.unpack` says where it is an archive after all.
- Images: every layer is one, and holds a file system of which the folder with the model is wanted.
"""

from dataclasses import dataclass
from enum import StrEnum

from berth_store import mediatypes
from berth_store.manifest import Descriptor, Manifest


class Codec(StrEnum):
    """How an archive is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class Scope(StrEnum):
    """What of an archive is taken."""

    ALL = "all"
    MODELS = "models"  # of an image's file system, what lies where models lie


# Where models lie in images, best first: KServe's modelcars, then what others do.
MODEL_FOLDERS = ("models", "model", "mnt/models")
_SUFFIXES = (
    (("+gzip", ".tar.gz", ".tgz"), Codec.GZIP),
    (("+zstd", ".tar.zst", ".tar.zstd"), Codec.ZSTD),
    ((".tar",), Codec.NONE),
)


@dataclass(frozen=True)
class ArchiveLayer:
    """A layer that is an archive. `number` counts from 0 as in the manifest, for people."""

    number: int
    descriptor: Descriptor
    codec: Codec


def is_image(manifest: Manifest) -> bool:
    """Whether this is a container image, whose layers make one file system."""
    return manifest.artifact_type is None and manifest.config.media_type in mediatypes.IMAGE_CONFIGS


def archive_layers(manifest: Manifest) -> tuple[ArchiveLayer, ...]:
    """The layers that are archives, in manifest order."""
    return tuple(
        ArchiveLayer(number, layer, codec)
        for number, layer in enumerate(manifest.layers)
        if (codec := codec_of(manifest, layer)) is not None
    )


def codec_of(manifest: Manifest, layer: Descriptor) -> Codec | None:
    """How the layer is compressed; None if it is a file and no archive."""
    codec = next((codec for endings, codec in _SUFFIXES if layer.media_type.endswith(endings)), None)
    if codec is None or is_image(manifest):
        return codec
    unpack = layer.annotation(mediatypes.ANNOTATION_UNPACK)
    if unpack is not None:
        return codec if unpack == "true" else None
    is_oras_file = layer.media_type == mediatypes.IMAGE_LAYER and layer.annotation(mediatypes.ANNOTATION_TITLE)
    return None if is_oras_file else codec
