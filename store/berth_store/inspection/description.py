"""`Description`: an artifact as `berth inspect` shows it, as a value.

Fields are named as in `status.artifact` of a Model. `artifact` is what the files' own headers say, in that very shape;
`stated` is what the artifact's config says of them, and may say something else: a context length that was chosen when
it was packaged, for example.
"""

from datetime import datetime
from enum import StrEnum

from berth_api.artifact import Artifact
from berth_api.part import StatusPart


class PublishedFormat(StrEnum):
    """The format in which an artifact was published; those of docs/artifacts.md."""

    DOCKER_V01 = "docker-v0.1"
    DOCKER_V02 = "docker-v0.2"
    MODELPACK = "modelpack"
    KITOPS = "kitops"
    IMAGE = "image"
    FILES = "files"  # as `oras push` makes them: each layer names its file


class DescribedFile(StatusPart):
    """A file of the artifact. What lies in an archive has no media type, and a digest only once it was unpacked."""

    path: str
    size_bytes: int
    digest: str | None = None
    media_type: str | None = None


class DescribedArchive(StatusPart):
    """A layer whose content is files of the artifact."""

    digest: str
    size_bytes: int
    media_type: str


class AttachedSignature(StatusPart):
    """A signature that was found, and whom it names. Nobody has judged it: `verified` is always False.

    `problem` says why it can't be read, where that is so.
    """

    claimed_signer: str | None = None
    verified: bool = False
    problem: str | None = None


class Description(StatusPart):
    """See the module. `digest` is that of the manifest, None where there is none and files have no digest yet.

    `problem` says why it can't be served as it is; then there is no `artifact`. `weights`, `projector`, `adapters` and
    `license_files` are paths among `files`. `adapter_rank` is that of an artifact that is an adapter by itself.
    """

    digest: str | None = None
    tags: tuple[str, ...] = ()
    created: datetime | None = None
    stated: Artifact | None = None
    published_format: PublishedFormat | None = None
    media_type: str | None = None
    artifact_type: str | None = None
    config_media_type: str | None = None
    revision: str | None = None
    size_bytes: int
    artifact: Artifact | None = None
    problem: str | None = None
    adapter_rank: int | None = None
    chat_template: bool
    weights: tuple[str, ...] = ()
    projector: str | None = None
    adapters: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    license_files: tuple[str, ...] = ()
    signatures: tuple[AttachedSignature, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[DescribedFile, ...] = ()
    archives: tuple[DescribedArchive, ...] = ()
