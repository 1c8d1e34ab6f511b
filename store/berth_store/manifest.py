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

_Digest = Annotated[Digest, StringConstraints(pattern=f"^{DIGEST_PATTERN}$", max_length=71)]
_MediaType = Annotated[str, StringConstraints(max_length=255)]


class _Part(BaseModel):
    """Frozen, camelCase in JSON; unknown members are kept out, as the specification asks of readers."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Platform(_Part):
    """The platform of an entry in an index; a model has none, an image has."""

    os: str = ""
    architecture: str = ""


class Descriptor(_Part):
    """Content by digest and size."""

    media_type: _MediaType
    digest: _Digest
    size: int = Field(ge=0, le=MAX_BLOB_BYTES)
    annotations: dict[str, str] | None = None
    platform: Platform | None = None

    def annotation(self, name: str) -> str | None:
        """The annotation `name`, if it is there."""
        return (self.annotations or {}).get(name)


class Manifest(_Part):
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


class Index(_Part):
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
    if manifest.config.media_type not in mediatypes.MODEL_CONFIGS:
        raise NoModelInSource(
            f"{origin}: the artifact's config is {manifest.config.media_type or 'untyped'}, which is no model "
            "(a container image, perhaps); give a reference that `berth package` or `docker model package` made"
        )
    if manifest.config.size > MAX_CONFIG_BYTES:
        raise NoModelInSource(
            f"{origin}: the config claims {manifest.config.size} bytes, at most {MAX_CONFIG_BYTES} are read"
        )
    for number, layer in enumerate(manifest.layers):
        if layer.media_type.endswith(mediatypes.ARCHIVE_SUFFIXES):
            raise NoModelInSource(
                f"{origin}: layer {number} is an archive ({layer.media_type}); package the model with one layer "
                "for each file (`berth package`, or `--format docker` of recent docker model)"
            )
    if not manifest.layers:
        raise NoModelInSource(f"{origin}: the artifact has no files; push the model again")


def choose_manifest(index: Index, origin: str) -> Descriptor:
    """The one model of an index. Attestations don't count; several models are an error that lists them."""
    models = [entry for entry in index.manifests if not _is_attestation(entry)]
    if len(models) == 1:
        return models[0]
    listed = ", ".join(f"{_platform(entry)}{entry.digest}" for entry in models[:8]) or "none"
    raise NoModelInSource(
        f"{origin}: this is an index of {len(models)} manifests ({listed}); name one by its digest, name@sha256:…"
    )


def build_manifest(*, config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """The bytes of a model's manifest: the same for the same content, whatever the clock and the machine."""
    manifest = Manifest(config=config, layers=tuple(layers))
    return canonical_json(manifest.model_dump(by_alias=True, exclude_none=True))


def canonical_json(value: Mapping[str, object]) -> bytes:
    """JSON with sorted keys and no spaces, so that equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _is_index(body: object, media_type: str) -> bool:
    if not isinstance(body, dict):
        return False
    kind = body.get("mediaType") or media_type
    return kind in tuple(mediatypes.INDEXES) or (not kind and "manifests" in body)


def _is_attestation(entry: Descriptor) -> bool:
    return entry.annotation("vnd.docker.reference.type") == "attestation-manifest"


def _platform(entry: Descriptor) -> str:
    return f"{entry.platform.os}/{entry.platform.architecture} " if entry.platform else ""


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "it is not JSON"
