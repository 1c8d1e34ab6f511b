"""The store on this machine: an OCI image layout with locks, names, and views for engines.

    oci-layout            the mark of an image layout
    index.json            which manifest each name stands for
    blobs/sha256/<hex>    content, read-only, named by its digest
    ingest/               partial files and temporary ones
    unpacked/             what archives among the blobs hold; see `berth_store.unpack`
    views/<hex>/          an artifact's files under their own names, as links into the blobs
    locks/                see `berth_store.locks`
    signatures/<hex>/     what was signed of an artifact, by whomever; see `berth_store.signing.kept`
    holds/                who uses what that may be fetched again; see `berth_store.holds`

Every room that needs an artifact asks a `Store`. It never touches the network (`berth_store.pull` and `push` do), and
any number of processes may use one root. What holds whenever somebody looks, also after a kill or a power cut: a name
in `index.json` stands for a manifest whose blobs are all there; what is not named may be swept away.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from berth_store import index, locks
from berth_store.digest import Digest, digest_of, hex_of
from berth_store.durable import flush_folder, write_atomically, writing
from berth_store.errors import DigestMismatch, NoModelInSource, SourceNotFound
from berth_store.home import default_store
from berth_store.manifest import MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, Descriptor, Index, Manifest, parse_manifest
from berth_store.reference import Reference
from berth_store.sources.address import Name
from berth_store.sweep import Removal, sweep
from berth_store.unpack import unpack
from berth_store.view import ensure_view, is_whole, plan_view

if TYPE_CHECKING:
    from berth_api.artifact import Artifact

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True)
class StoredModel:
    """One name of the store. `artifact` and `created` are None where the artifact's config does not say."""

    reference: Name
    digest: Digest
    size_bytes: int
    created: datetime | None
    artifact: "Artifact | None"


class Store:
    """The store at `root`, which need not exist yet. Reading never writes; the first write makes the layout.

    `quota_bytes` bounds what is fetched into it, see `berth_store.quota`.
    """

    def __init__(self, root: Path | None = None, *, quota_bytes: int | None = None) -> None:
        self.root = root if root is not None else default_store()
        self.quota_bytes = quota_bytes
        self.ingest = self.root / "ingest"
        self.locks = self.root / "locks"
        self.views = self.root / "views"
        self.unpacked = self.root / "unpacked"
        self.signatures = self.root / "signatures"
        self.blobs = self.root / "blobs" / "sha256"

    # Names

    def resolve(self, reference: Name) -> Digest | None:
        """The digest that the name stands for here, or None."""
        return index.lookup(self.read_index(), reference)

    def tag(self, reference: Name, digest: Digest) -> None:
        """Let the name stand for a manifest that is here with all its blobs; SourceNotFound says what is missing."""
        if isinstance(reference, Reference) and reference.digest not in {None, digest}:
            raise DigestMismatch(f"{reference}: the name pins another digest than {digest}; leave out one of the two")
        with self.using():
            manifest = self.manifest(digest)
            missing = self.missing(manifest)
            if missing:
                raise SourceNotFound(f"{digest}: {len(missing)} of its blobs are not in this store; pull it again")
            described = Descriptor(
                media_type=manifest.media_type, digest=digest, size=self.blob_path(digest).stat().st_size
            )
            flush_folder(self.blobs)  # small blobs were renamed into it without, see `berth_store.fetch`
            with self._changing_index() as current:
                self._write_index(index.with_name(current, reference, described))

    def untag(self, reference: Name) -> Digest | None:
        """Forget the name; returns what it stood for, or None. The content stays until it is swept."""
        with self.using(), self._changing_index() as current:
            digest = index.lookup(current, reference)
            changed = index.without_name(current, reference)
            if changed != current:
                self._write_index(changed)
                return digest
        return None

    def forget(self, pin: Digest) -> None:
        """Forget every name of that digest. The caller has the store's lock, alone."""
        with self._changing_index() as current:
            self._write_index(index.without_pin(current, pin))

    def list(self) -> tuple[StoredModel, ...]:
        """Every name of the store, sorted."""
        return tuple(self._describe(entry) for entry in index.entries(self.read_index()))

    def remove(self, reference: Name) -> Removal:
        """Forget the name, and free what no other name needs. SourceNotFound if there is no such name."""
        digest = self.untag(reference)
        if digest is None:
            raise SourceNotFound(f"{reference}: this store has no such name; `berth list` shows the ones it has")
        return sweep(self)

    # Content

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob lies, or would lie."""
        return self.blobs / hex_of(digest)

    def has(self, blob: Descriptor) -> bool:
        """Whether the blob is here, by its name and size; `berth_store.integrity` reads the bytes."""
        try:
            return self.blob_path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def missing(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The blobs of the manifest that are not here."""
        return tuple(blob for blob in manifest.blobs if not self.has(blob))

    def manifest(self, digest: Digest) -> Manifest:
        """A manifest that is here. SourceNotFound if it is not, DigestMismatch if it was changed."""
        parsed = parse_manifest(self.read_blob(digest, MAX_MANIFEST_BYTES), origin=str(digest))
        if isinstance(parsed, Index):
            raise SourceNotFound(f"{digest}: this is an index of several artifacts; name one of them by its digest")
        return parsed

    def read_blob(self, digest: Digest, limit_bytes: int) -> bytes:
        """The content of a small blob, checked against its digest."""
        try:
            with self.blob_path(digest).open("rb") as file:
                content = file.read(limit_bytes + 1)
        except FileNotFoundError as error:
            raise SourceNotFound(f"{digest}: not in this store; pull it first") from error
        if digest_of(content) != digest:
            raise DigestMismatch(f"{self.blob_path(digest)}: its content was changed; pull the model again")
        return content

    def write_blob(self, content: bytes) -> Descriptor:
        """Keep a small blob; the descriptor bears no media type."""
        described = Descriptor(media_type="", digest=digest_of(content), size=len(content))
        if not self._holds(described.digest, content):
            with writing(self.root):
                write_atomically(self.blob_path(described.digest), content, scratch=self.ingest, mode=0o444)
        return described

    def _holds(self, digest: Digest, content: bytes) -> bool:
        try:
            return self.blob_path(digest).read_bytes() == content
        except FileNotFoundError:
            return False

    def view(self, digest: Digest) -> Path:
        """The folder with the artifact's files under their own names; made, or repaired, if it must be.

        NoModelInSource if the artifact's file names or archives are hostile, SourceNotFound if blobs are missing.
        """
        manifest = self.manifest(digest)
        plan_view(manifest, str(digest))
        if self.missing(manifest):
            raise SourceNotFound(f"{digest}: some of its blobs are not in this store any more; pull it again")
        links = plan_view(manifest, str(digest), unpack(self, manifest, str(digest)))
        folder = self.views / hex_of(digest)
        if not (folder.is_dir() and is_whole(folder, links)):
            with self.using(), locks.exclusive(self.locks / f"view-{hex_of(digest)}"), writing(self.root):
                ensure_view(folder, links)
        return folder

    # Sharing

    @contextmanager
    def using(self) -> Iterator[None]:
        """Held while content is added that no name stands for yet, so that nobody sweeps it away."""
        self.prepare()
        with locks.shared(self.locks / "store"):
            yield

    def prepare(self) -> None:
        """Make the layout if it is not there."""
        with writing(self.root):
            for folder in (self.blobs, self.ingest, self.locks, self.views, self.unpacked, self.signatures):
                folder.mkdir(parents=True, exist_ok=True)
            mark = self.root / "oci-layout"
            if not mark.exists():
                write_atomically(mark, _LAYOUT, scratch=self.ingest)
            if not self._index_path.exists():
                with locks.exclusive(self.locks / "index"):
                    if not self._index_path.exists():
                        self._write_index(index.EMPTY)

    def read_index(self) -> Index:
        """`index.json` as it is now; empty if there is no store yet."""
        try:
            content = self._index_path.read_bytes()
        except FileNotFoundError:
            return index.EMPTY
        return index.parse_index(content, str(self._index_path))

    @property
    def _index_path(self) -> Path:
        return self.root / "index.json"

    @contextmanager
    def _changing_index(self) -> Iterator[Index]:
        with locks.exclusive(self.locks / "index"), writing(self.root):
            yield self.read_index()

    def _write_index(self, changed: Index) -> None:
        write_atomically(self._index_path, index.render_index(changed), scratch=self.ingest)

    def _describe(self, entry: index.Entry) -> StoredModel:
        from berth_store.model_config import ConfigFacts, parse_config  # noqa: PLC0415 - only a list needs its types

        size_bytes, facts = 0, ConfigFacts(None, None)
        try:
            manifest = self.manifest(entry.digest)
            size_bytes = manifest.size_bytes
            config = self.read_blob(manifest.config.digest, MAX_CONFIG_BYTES)
            facts = parse_config(config, digest=entry.digest, size_bytes=size_bytes)
        except (SourceNotFound, DigestMismatch, NoModelInSource):
            pass  # Damage must not hide the other models; whoever uses this one is told.
        return StoredModel(entry.reference, entry.digest, size_bytes, facts.created, facts.artifact)
