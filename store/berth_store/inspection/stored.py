"""`inspect_stored`: what this machine's store holds under a name. Nothing is fetched."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from berth_api.errors import UnsupportedModel
from berth_api.suggestions import did_you_mean
from berth_store import index
from berth_store.detect import DetectedAdapter, DetectedModel, detect_either_bounded
from berth_store.digest import Digest
from berth_store.errors import SourceNotFound
from berth_store.inspection.describe import Evidence, Written, describe
from berth_store.inspection.description import Description
from berth_store.local import Store
from berth_store.manifest import MAX_CONFIG_BYTES, Manifest
from berth_store.reference import Reference
from berth_store.resolver.look import Look
from berth_store.signing.found import read_own
from berth_store.signing.kept import read_kept
from berth_store.sources.address import Address, Name
from berth_store.sources.identity import stored_digest
from berth_store.sources.oci import list_artifact, list_inside
from berth_store.sources.protocol import Listing
from berth_store.unpack import unpack

_ID: Final = re.compile(r"[0-9a-f]{12,64}")
_MOST_LISTED: Final = 8


def inspect_stored(store: Store, name: Name) -> Description:
    """What stands under the name, or under the id that `berth list` shows.

    SourceNotFound says what is here instead, or that parts of it are missing; DigestMismatch that it was changed,
    NoModelInSource that it is refused.
    """
    digest = store.resolve(name) or _by_id(store, name)
    if digest is None:
        raise _absent(store, name)
    manifest = store.manifest(digest)
    view = store.view(digest)
    listing = _list(name, manifest, digest)
    inside = list_inside(unpack(store, manifest, str(digest)))
    files = (*listing.files, *inside)
    found, problem = _detect(name, view)
    digests = {file.path: file.digest for file in files if file.digest is not None}
    return describe(
        Evidence(
            name=name,
            tags=tuple(str(entry.reference) for entry in index.entries(store.read_index()) if entry.digest == digest),
            looked=Look(listing, inside, files),
            written=Written(digest, manifest, store.read_blob(manifest.config.digest, MAX_CONFIG_BYTES)),
            identity=_identity(name, manifest, digest),
            view=view,
            found=found,
            problem=problem,
            signatures=(*read_own(store, digests), *read_kept(store, digest)),
            is_unpacked=True,
        )
    )


def _list(name: Name, manifest: Manifest, digest: Digest) -> Listing:
    """What the artifact holds. Files of a source have no config there: the store has written it."""
    listing = list_artifact(manifest, digest)
    return listing if isinstance(name, Reference) else replace(listing, further_bytes=0)


def _identity(name: Name, manifest: Manifest, digest: Digest) -> Digest | None:
    """What a Model may pin; of some files of an artifact that is the artifact's own digest, which is not kept here."""
    if isinstance(name, Reference):
        return digest
    if name.digest is not None or isinstance(name.location, Reference):
        return name.digest
    return stored_digest(manifest)


def _detect(name: Name, view: Path) -> tuple[DetectedModel | DetectedAdapter | None, str]:
    """What the files are, or why they can't be served as they are."""
    try:
        return detect_either_bounded(view, pickles=isinstance(name, Address) and name.trust.pickle), ""
    except UnsupportedModel as error:
        return None, str(error)


def _by_id(store: Store, name: Name) -> Digest | None:
    """The one artifact whose digest begins so."""
    if _ID.fullmatch(name.familiar) is None:
        return None
    begins = f"sha256:{name.familiar}"
    found = {entry.digest for entry in store.read_index().manifests if entry.digest.startswith(begins)}
    return found.pop() if len(found) == 1 else None


def _absent(store: Store, name: Name) -> SourceNotFound:
    known = [entry.reference.familiar for entry in index.entries(store.read_index())]
    further = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
    here = f"it has {', '.join(known[:_MOST_LISTED])}{further}" if known else "it is empty"
    meant = did_you_mean(name.familiar, known)
    elsewhere = f"fetch it with `berth pull {name.familiar}`, or look at it where it is with `--remote`"
    remedy = "make it with `berth package`" if name.is_local else elsewhere
    return SourceNotFound(f"{name}: this store has no such name, {here}; {f'{meant} Or ' if meant else ''}{remedy}")
