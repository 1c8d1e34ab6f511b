"""`oci://` as a source of files: the layers of an artifact by their names, for `spec.source.files` and the resolver.

What lies in layers that are archives is known once they are read: whoever has done that, adds it by `list_inside`.
"""

from collections.abc import Iterable

from berth_store.archive.inventory import File
from berth_store.archive.kinds import ArchiveLayer, archive_layers
from berth_store.digest import Digest
from berth_store.manifest import Manifest
from berth_store.model_manifest import fetch_model_manifest
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.registry import BlobSource, Registry
from berth_store.signing.attached import fetch_attached
from berth_store.sources.protocol import ListedFile, Listing
from berth_store.transport import Transport
from berth_store.view import file_layers, layer_names


class RegistrySource:
    """See `berth_store.sources.protocol.Source`."""

    def __init__(self, reference: Reference, transport: Transport, config: RegistryConfig) -> None:
        self.host = reference.registry
        self._reference = reference
        self._registry = Registry(transport, config, reference)

    async def list_files(self) -> Listing:
        """The artifact's files; the digest is that of its manifest."""
        fetched, manifest = await fetch_model_manifest(self._registry, self._reference)
        return list_artifact(manifest, fetched.digest)

    def open(self, file: ListedFile) -> BlobSource:
        """The layer of a file."""
        assert file.digest is not None, "a layer has one"
        return self._registry.blob(self._reference.repository, file.digest)

    async def read_attached(self, listing: Listing) -> list[bytes]:
        """Those that refer to the artifact in its repository."""
        assert listing.digest is not None, "a registry's artifact has one"
        return await fetch_attached(self._registry, self._reference, listing.digest)


def list_artifact(manifest: Manifest, digest: Digest) -> Listing:
    """What an artifact holds, wherever it lies."""
    further_bytes = manifest.config.size + sum(layer.descriptor.size for layer in archive_layers(manifest))
    return Listing(list_layers(manifest), digest=digest, further_bytes=further_bytes, manifest=manifest)


def list_layers(manifest: Manifest) -> tuple[ListedFile, ...]:
    """The layers of an artifact that are files, in the order of its manifest."""
    names = zip(layer_names(manifest), file_layers(manifest), strict=True)
    return tuple(ListedFile(name, layer.size, digest=layer.digest) for name, layer in names)


def list_inside(files: Iterable[File]) -> tuple[ListedFile, ...]:
    """The files of its archives."""
    return tuple(ListedFile(file.name, file.size, digest=file.digest) for file in files)


def config_file(manifest: Manifest) -> ListedFile:
    """The config blob, to open."""
    return ListedFile("config", manifest.config.size, digest=manifest.config.digest)


def archive_file(layer: ArchiveLayer) -> ListedFile:
    """An archive itself, to open; it has no name of its own."""
    return ListedFile(f"layer {layer.number}", layer.descriptor.size, digest=layer.descriptor.digest)
