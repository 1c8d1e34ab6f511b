"""OCI manifests as values: parsing what a registry or the disk says, and building what Berth packages. No IO.

Everything in a manifest from elsewhere is a claim. Digests are checked for their form here, content against them where
it is read; names of files are checked in `berth_store.view`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from berth_store import mediatypes
from berth_store.digest import DIGEST_PATTERN, Digest
from berth_store.errors import NoModelInSource

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_CONFIG_BYTES = 16 * 1024 * 1024
MAX_LAYERS = 4096
MAX_BLOB_BYTES = 1 << 50

DigestText = Annotated[Digest, StringConstraints(pattern=f"^{DIGEST_PATTERN}$", max_length=71)]
_MediaType = Annotated[str, StringConstraints(max_length=255)]


class OciPart(BaseModel):
    """Frozen, camelCase in JSON; unknown members are kept out, as the specification asks of readers."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Platform(OciPart):
    """The platform of an entry in an index; a model has none, an image has."""

    os: str = ""
    architecture: str = ""


class Descriptor(OciPart):
    """Content by digest and size."""

    media_type: _MediaType
    digest: DigestText
    size: int = Field(ge=0, le=MAX_BLOB_BYTES)
    annotations: dict[str, str] | None = None
    artifact_type: _MediaType | None = None
    platform: Platform | None = None

    def annotation(self, name: str) -> str | None:
        """The annotation `name`, if it is there."""
        return (self.annotations or {}).get(name)


class Manifest(OciPart):
    """An image manifest: a config and one layer for each file."""

    schema_version: int = Field(default=2, ge=2, le=2)
    media_type: _MediaType = mediatypes.OCI_MANIFEST
    artifact_type: _MediaType | None = None
    config: Descriptor
    layers: tuple[Descriptor, ...] = Field(max_length=MAX_LAYERS)
    annotations: dict[str, str] | None = None

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        sizes: dict[Digest, int] = {}
        for blob in (self.config, *self.layers):
            if sizes.setdefault(blob.digest, blob.size) != blob.size:
                raise ValueError(f"{blob.digest} is given two sizes")
        return self

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers in manifest order, each digest once."""
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.size for blob in self.blobs)


class Index(OciPart):
    """An image index: manifests to choose from."""

    schema_version: int = Field(default=2, ge=2, le=2)
    media_type: _MediaType = mediatypes.OCI_INDEX
    manifests: tuple[Descriptor, ...] = Field(max_length=MAX_LAYERS)


def parse_manifest(content: bytes, *, media_type: str = "", origin: str) -> Manifest | Index:
    """The manifest or index in `content`; NoModelInSource names `origin` and says what is wrong.

    The body's own `mediaType` wins over the transport's `media_type`, as the specification asks.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise NoModelInSource(f"{origin}: the manifest is larger than {MAX_MANIFEST_BYTES} bytes; nothing was fetched")
    try:
        model = Index if _is_index(json.loads(content), media_type) else Manifest
        return model.model_validate_json(content)
    except (ValidationError, ValueError, RecursionError) as error:
        raise NoModelInSource(
            f"{origin}: this is no OCI manifest ({_first_fault(error)}); push the model again"
        ) from error


def check_model(manifest: Manifest, origin: str) -> None:
    """Raise NoModelInSource unless Berth reads this kind of artifact; called before a byte of weights is fetched."""
    if not _is_readable(manifest):
        raise NoModelInSource(
            f"{origin}: the artifact's config is {manifest.config.media_type or 'untyped'}, which is no model that is "
            "known, and not all of its layers name their file; give a reference that `berth package`, "
            "`docker model package`, a ModelPack tool or `oras push` made"
        )
    if manifest.config.size > MAX_CONFIG_BYTES:
        raise NoModelInSource(
            f"{origin}: the config claims {manifest.config.size} bytes, at most {MAX_CONFIG_BYTES} are read"
        )
    if not manifest.layers:
        raise NoModelInSource(f"{origin}: the artifact has no files; push the model again")
    if manifest.config.media_type in mediatypes.IMAGE_CONFIGS:
        odd = next((layer for layer in manifest.layers if ".tar" not in layer.media_type), None)
        if odd is not None:
            raise NoModelInSource(f"{origin}: this is a container image, and its layer {odd.media_type} is no archive")


def choose_manifest(index: Index, origin: str, *, architecture: str = "amd64") -> Descriptor:
    """The one model of an index; several are an error that lists them.

    Attestations and indexes don't count. What says of itself that it is a model, wins over what does not; of the same
    thing for several platforms (an image built for many) the one for Linux on `architecture` is meant.
    """
    entries = [entry for entry in index.manifests if not _is_attestation(entry)]
    models = [entry for entry in entries if entry.media_type not in mediatypes.INDEXES]
    typed = [entry for entry in models if entry.artifact_type in mediatypes.MODEL_ARTIFACTS]
    ours = [entry for entry in models if entry.platform == Platform(os="linux", architecture=architecture)]
    for found in (models, typed, ours if all(entry.platform for entry in models) else []):
        if len({entry.digest for entry in found}) == 1:
            return found[0]
    listed = ", ".join(f"{_platform(entry)}{entry.digest}" for entry in entries[:8]) or "none"
    raise NoModelInSource(
        f"{origin}: this is an index of {len(entries)} manifests ({listed}); name one by its digest, name@sha256:…"
    )


def build_manifest(*, config: Descriptor, layers: Sequence[Descriptor], artifact_type: str | None = None) -> bytes:
    """The bytes of a model's manifest: the same for the same content, whatever the clock and the machine."""
    manifest = Manifest(config=config, layers=tuple(layers), artifact_type=artifact_type)
    return canonical_json(manifest.model_dump(by_alias=True, exclude_none=True))


def canonical_json(value: Mapping[str, object]) -> bytes:
    """JSON with sorted keys and no spaces, so that equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _is_index(body: object, media_type: str) -> bool:
    if not isinstance(body, dict):
        return False
    kind = body.get("mediaType") or media_type
    return kind in tuple(mediatypes.INDEXES) or (not kind and "manifests" in body)


def _is_readable(manifest: Manifest) -> bool:
    """Whether it is of a known kind, or what any tool may push: files, each with its name."""
    if manifest.config.media_type in mediatypes.MODEL_CONFIGS | mediatypes.IMAGE_CONFIGS:
        return True
    return all(any(map(layer.annotation, mediatypes.NAME_ANNOTATIONS)) for layer in manifest.layers)


def _is_attestation(entry: Descriptor) -> bool:
    return entry.annotation("vnd.docker.reference.type") == "attestation-manifest"


def _platform(entry: Descriptor) -> str:
    return f"{entry.platform.os}/{entry.platform.architecture} " if entry.platform else ""


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "it is not JSON"
