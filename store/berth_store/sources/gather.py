"""Gathering: from the files of a source to an artifact in the store, which nothing after can tell from a pulled one.

The manifest is made here, in the form that `berth package` writes. It depends on the files and their names alone, so
the same files give the same digest whatever source they came from.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from berth_api.artifact import Artifact, Format, Task
from berth_store import mediatypes
from berth_store.digest import Digest, digest_of
from berth_store.durable import writing
from berth_store.errors import DigestMismatch
from berth_store.fetch import Fetcher, Wanted
from berth_store.local import Store
from berth_store.manifest import Descriptor, build_manifest, canonical_json
from berth_store.model_config import build_config
from berth_store.packing import media_type_of
from berth_store.reference import Reference
from berth_store.signing.kept import keep
from berth_store.sources.address import Address
from berth_store.sources.identity import listed_digest, stored_digest
from berth_store.sources.oci import archive_file, list_inside, list_layers
from berth_store.sources.opened import open_source, select
from berth_store.sources.protocol import Gathered, ListedFile, Listing, Source, key_of
from berth_store.sources.selection import quantization_of
from berth_store.tasks import in_thread, run_all
from berth_store.transport import Transport
from berth_store.unpack import unpack
from berth_store.view import plan_links

if TYPE_CHECKING:
    from berth_store.signing.judge import Judge

_FORMATS = {
    ".gguf": Format.GGUF,
    ".safetensors": Format.SAFETENSORS,
    ".onnx": Format.ONNX,
    ".tflite": Format.TFLITE,
}


def find_gathered(store: Store, address: Address) -> Digest | None:
    """The manifest's digest, if the address is pinned and what it pins is here with all its blobs."""
    if address.digest is None:
        return None
    for name in (address, address.unpinned):
        digest = store.resolve(name)
        if digest is None:
            continue
        manifest = store.manifest(digest)
        # Under the pinned name lies what was found to satisfy the pin; under the other one, this has to be seen.
        satisfied = name == address or stored_digest(manifest) == address.digest
        if satisfied and not store.missing(manifest):
            store.tag(address, digest)
            return digest
    return None


def gather_local(store: Store, address: Address) -> Digest | None:
    """Some files of an artifact that only this store can have; None where it is not here, or not whole."""
    whole = store.resolve(address.location) if isinstance(address.location, Reference) else None
    if whole is None or store.missing(store.manifest(whole)):
        return None
    manifest = store.manifest(whole)
    with store.using(), writing(store.root):
        inside = list_inside(unpack(store, manifest, str(address)))
        files = select(address, (*list_layers(manifest), *inside)).files
        return _keep(store, address, files, {file.path: file.digest for file in files if file.digest})


async def gather(address: Address, transport: Transport, fetcher: Fetcher, judge: "Judge | None" = None) -> Digest:
    """Have the files in the store under their name; the digest of the manifest. Raises what `errors` lists.

    What is not what `address.digest` pins, or not signed as the `judge` wants it, is refused, and the name goes on
    standing for what it stood for.
    """
    store = fetcher.store
    source = open_source(address, transport, fetcher.config)
    listing = await source.list_files()
    with store.using():
        inside = await _look_into(listing, source, fetcher, str(address))
        files = select(address, (*listing.files, *inside)).files
        check_names(files, str(address))
        here = frozenset(inside)
        wanted = {file: _wanted(source, file) for file in files if file not in here}
        digests = {file.path: file.digest for file in files if file.digest is not None}

        async def fetch(file: ListedFile) -> None:
            digests[file.path] = await fetcher.fetch(wanted[file])

        with writing(store.root):
            fetcher.meter.expect(listing.archives_bytes + sum(file.size for file in wanted))
            async with _room_for(fetcher, tuple(wanted.values())):
                # What has no digest yet comes first: then all are known, and a wrong pin is told before the weights.
                await run_all(fetch(file) for file in wanted if file.digest is None)
                if listing.digest is None:  # Else the registry's client has compared the manifest with the pin.
                    _check_pin(address, files, digests)
                there = Gathered(source, listing, inside, digests)
                signatures = await judge.admit_gathered(store, there, str(address), fetcher.config) if judge else []
                await run_all(fetch(file) for file in wanted if file.digest is not None)
            return await in_thread(_keep, store, address, files, digests, signatures)


async def _look_into(listing: Listing, source: Source, fetcher: Fetcher, origin: str) -> tuple[ListedFile, ...]:
    """The files in the artifact's archives: these are fetched and unpacked whole, whatever is taken of them."""
    if listing.manifest is None or not listing.archives:
        return ()
    wanted = [_wanted(source, archive_file(layer)) for layer in listing.archives]
    with writing(fetcher.store.root):
        fetcher.meter.expect(listing.archives_bytes)
        async with _room_for(fetcher, wanted):
            await run_all(fetcher.fetch(item) for item in wanted)
        return list_inside(await in_thread(unpack, fetcher.store, listing.manifest, origin))


def _room_for(fetcher: Fetcher, wanted: Sequence[Wanted]) -> AbstractAsyncContextManager[None]:
    found = {item: fetcher.find(item) for item in wanted}
    return fetcher.room_for([item for item, digest in found.items() if digest is None], filter(None, found.values()))


def check_names(files: Sequence[ListedFile], origin: str) -> None:
    """Raise NoModelInSource for a hostile name, before a byte is fetched."""
    plan_links([(file.path, Digest(f"sha256:{key_of(origin, file)}")) for file in files], origin)


def _wanted(source: Source, file: ListedFile) -> Wanted:
    remote = source.open(file)
    return Wanted(key_of(remote.subject, file), file.size, remote, file.digest, file.git_digest)


def _keep(
    store: Store,
    address: Address,
    files: Sequence[ListedFile],
    digests: Mapping[str, Digest],
    signatures: Sequence[bytes] = (),
) -> Digest:
    config, manifest = build_gathered(files, digests)
    store.write_blob(config)
    written = store.write_blob(manifest)
    if signatures:
        keep(store, written.digest, signatures)
    store.tag(address, written.digest)
    return written.digest


def build_gathered(files: Sequence[ListedFile], digests: Mapping[str, Digest]) -> tuple[bytes, bytes]:
    """Config and manifest of files whose `digests` by path are known: the artifact that the store has of them."""
    layers = [_layer(file.path, file.size, digests[file.path]) for file in files]
    config = _config(files, layers)
    described = Descriptor(media_type=mediatypes.CONFIG_V02, digest=digest_of(config), size=len(config))
    return config, build_manifest(config=described, layers=layers)


def _check_pin(address: Address, files: Sequence[ListedFile], digests: Mapping[str, Digest]) -> None:
    found = [replace(file, digest=digests[file.path]) for file in files]
    accepted = {listed_digest(files), listed_digest(found), *([found[0].digest] if len(found) == 1 else [])}
    if address.digest is not None and address.digest not in accepted:
        raise DigestMismatch(
            f"{address.unpinned}: the files there have the digest {listed_digest(found)}, not {address.digest}; pin "
            "the digest that is there, or ask whoever changed them"
        )


def _layer(path: str, size: int, digest: Digest) -> Descriptor:
    annotations = {mediatypes.ANNOTATION_FILEPATH: path, mediatypes.ANNOTATION_TITLE: path}
    projector = "mmproj" in path.rpartition("/")[2].lower()
    media_type = media_type_of(path, projector=projector)
    return Descriptor(media_type=media_type, digest=digest, size=size, annotations=annotations)


def _config(files: Sequence[ListedFile], layers: Sequence[Descriptor]) -> bytes:
    """What the names tell of the weights, for people. An engine is chosen by what detection finds in the files."""
    known = next((known for suffix, known in _FORMATS.items() if any(f.path.endswith(suffix) for f in files)), None)
    digests = [layer.digest for layer in layers]
    if known is None:
        return canonical_json({"config": {}, "descriptor": {}, "rootfs": {"type": "rootfs", "diff_ids": digests}})
    weights = [file.path for file in files if file.path.endswith(".gguf")]
    artifact = Artifact(
        format=known,
        task=Task.AUTO,
        quantization=(quantization_of(weights[0]) or None) if weights else None,
        size_bytes=sum(file.size for file in files),
    )
    return build_config(artifact, layers=digests, context_length=None, gguf={}, created=None)
