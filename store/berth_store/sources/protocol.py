"""What a source of model files is asked, and the values that it gives: `Source`, `Listing`, `RemoteFile`."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from berth_store.archive.kinds import ArchiveLayer, archive_layers
from berth_store.digest import Digest, digest_of
from berth_store.errors import SourceError
from berth_store.manifest import Manifest
from berth_store.ranges import Range


class RemoteFile(Protocol):
    """One file that can be read from; `subject` names it in messages."""

    subject: str

    def open(self, span: Range | None) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The answer to a request for `span`, or for the whole file. The caller looks at its status.

        Raises SourceError where there is no answer, or where the file is not the listed one any more.
        """
        ...

    async def failure(self, response: aiohttp.ClientResponse) -> SourceError:
        """The error for an answer with a status that is not what was asked for."""
        ...


@dataclass(frozen=True)
class ListedFile:
    """One file of a source, as the source describes it.

    At least one of three things names its content: `digest` (sha256), `git_digest` (sha1 of a git blob, which is all
    that Hugging Face says of small files), or `version`, an entity tag or time that changes with the content.
    """

    path: str
    size: int
    digest: Digest | None = None
    git_digest: str = ""
    version: str = ""

    @property
    def content_name(self) -> str:
        """What names the content: the digest where it is known, else the source's own word."""
        return self.digest or (f"git:{self.git_digest}" if self.git_digest else f"version:{self.version}")


@dataclass(frozen=True)
class Listing:
    """What a source holds now. `revision` is the name under which it stays what it is, where there is such a name.

    `digest` is that of a registry's `manifest`; other sources have none, see `berth_store.sources.identity`. Its layers
    that are `archives` hold further files, which are known once they are read. `further_bytes` belong to the artifact
    and are in none of `files`.
    """

    files: tuple[ListedFile, ...]
    revision: str = ""
    digest: Digest | None = None
    further_bytes: int = 0
    manifest: Manifest | None = None

    @property
    def archives(self) -> tuple[ArchiveLayer, ...]:
        """The layers that are unpacked; an archive among `files` is a file like any other."""
        return archive_layers(self.manifest) if self.manifest else ()

    @property
    def archives_bytes(self) -> int:
        """Bytes of the archives as they are packed."""
        return sum(layer.descriptor.size for layer in self.archives)


class Source(Protocol):
    """One place with one model's files. `host` is whom it is asked of, for messages."""

    host: str

    async def list_files(self) -> Listing:
        """The files, at a revision that `open` keeps to. Raises what `berth_store.errors` lists."""
        ...

    def open(self, file: ListedFile) -> RemoteFile:
        """One of the listed files to read from."""
        ...

    async def read_attached(self, listing: Listing) -> list[bytes]:
        """Signatures that lie elsewhere than among the listed files, as large as `signing.bundle` allows at most."""
        ...


@dataclass(frozen=True)
class Gathered:
    """What is about to be used of a source: the `digests` by name, None where one is not known yet.

    `inside` are the files in its archives, which are in the store already; for a resolver their digests are made up.
    """

    source: Source
    listing: Listing
    inside: tuple[ListedFile, ...]
    digests: Mapping[str, Digest | None]

    @property
    def names(self) -> frozenset[str]:
        """All that the source has."""
        return frozenset(file.path for file in (*self.listing.files, *self.inside))


def key_of(subject: str, file: ListedFile) -> str:
    """64 digits that stand for a file's content while its digest is not known: same digits, same content."""
    known = file.digest or digest_of("\n".join([subject, str(file.size), file.content_name]).encode())
    return known.removeprefix("sha256:")
