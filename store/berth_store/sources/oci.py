"""`oci://` as a source of files: the layers of an artifact by their names, for `spec.source.files` and the resolver."""

from berth_store.manifest import Manifest
from berth_store.model_manifest import fetch_model_manifest
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.registry import BlobSource, Registry
from berth_store.sources.protocol import ListedFile, Listing
from berth_store.transport import Transport
from berth_store.view import layer_names


class RegistrySource:
    """See `berth_store.sources.protocol.Source`."""

    def __init__(self, reference: Reference, transport: Transport, config: RegistryConfig) -> None:
        self.host = reference.registry
        self._reference = reference
        self._registry = Registry(transport, config, reference)

    async def list_files(self) -> Listing:
        """The artifact's files; the digest is that of its manifest."""
        fetched, manifest = await fetch_model_manifest(self._registry, self._reference)
        files = list_layers(manifest)
        return Listing(files, digest=fetched.digest, further_bytes=manifest.config.size)

    def open(self, file: ListedFile) -> BlobSource:
        """The layer of a file."""
        assert file.digest is not None, "a layer has one"
        return self._registry.blob(self._reference.repository, file.digest)


def list_layers(manifest: Manifest) -> tuple[ListedFile, ...]:
    """The files of an artifact, in the order of its manifest."""
    names = zip(layer_names(manifest), manifest.layers, strict=True)
    return tuple(ListedFile(name, layer.size, digest=layer.digest) for name, layer in names)
