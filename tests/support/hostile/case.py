"""What a hostile case is: `Hostile`, and how most are made."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oci_artifacts import Layer, MadeArtifact, make_layers

from berth_api.artifact import Format
from berth_store.digest import Digest, digest_of

MODELPACK = "application/vnd.cncf.model.manifest.v1+json"
WEIGHT_TAR = "application/vnd.cncf.model.weight.v1.tar"
MODEL_FILE = "application/vnd.docker.ai.model.file"
CONFIG_V02 = "application/vnd.docker.ai.model.config.v0.2+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
IMAGE_TAR = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
FILEPATH = "org.cncf.model.filepath"


@dataclass(frozen=True)
class Hostile:
    """An artifact, and what must come of it.

    The refusal has to hold `says`, which names the file, layer or field at fault. A case with `serves` is harmless, and
    must be detected as this format. `beside` are further manifests of the repository. A resolver sees only a part of
    the bytes, so that it `may_resolve` where the lie is in others.
    """

    name: str
    artifact: MadeArtifact
    says: str = ""
    serves: Format | None = None
    beside: tuple[bytes, ...] = ()
    may_resolve: bool = False


Builder = Callable[[Path], Iterator[Hostile]]


def of_files(files: Mapping[str, bytes]) -> MadeArtifact:
    """One layer for each file, as Docker's v0.2 has them."""
    return make_layers(
        [Layer(content, MODEL_FILE, {FILEPATH: name}) for name, content in files.items()], config_type=CONFIG_V02
    )


def of_tar(content: bytes, suffix: str = "") -> MadeArtifact:
    """A ModelPack artifact of one archive."""
    return make_layers([Layer(content, WEIGHT_TAR + suffix)], artifact_type=MODELPACK)


def of_image(*contents: bytes, suffix: str = "") -> MadeArtifact:
    """A container image of these layers."""
    return make_layers([Layer(content, IMAGE_TAR + suffix) for content in contents], config_type=IMAGE_CONFIG)


def of_body(body: Any, blobs: Mapping[str, bytes] | None = None) -> MadeArtifact:
    """An artifact with this manifest, whatever it says; bytes are taken as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return MadeArtifact(content, {Digest(digest): held for digest, held in (blobs or {}).items()})


def described(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """A descriptor; `more` replaces or adds members."""
    return {"mediaType": media_type, "digest": str(digest_of(content)), "size": len(content), **more}
