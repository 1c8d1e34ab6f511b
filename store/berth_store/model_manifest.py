"""The manifest of a model in a registry, found and checked before a byte of its weights: `fetch_model_manifest`."""

from dataclasses import replace

from berth_store.errors import DigestMismatch, NoModelInSource, SourceError, SourceNotFound
from berth_store.machine import machine_architecture
from berth_store.manifest import Index, Manifest, check_model, choose_manifest, parse_manifest
from berth_store.reference import Reference
from berth_store.registry import FetchedManifest, Registry
from berth_store.retry import with_retries
from berth_store.view import plan_view


def refuse_local(name: Reference) -> None:
    """Raise SourceNotFound for a name that no registry can have."""
    if name.is_local:
        raise SourceNotFound(
            f"{name}: names on localhost are in this machine's store only, and it has no such one, or not all of "
            "it; make it with `berth package`, or give the port of a registry on this machine (localhost:5000/…)"
        )


async def fetch_model_manifest(registry: Registry, reference: Reference) -> tuple[FetchedManifest, Manifest]:
    """The model's manifest, of a kind that Berth reads; an index leads to the one model in it."""
    retry = registry.config.first_contact
    try:
        fetched = await with_retries(retry, lambda: registry.fetch_manifest(reference))
    except SourceNotFound:
        await _refuse_moved_tag(registry, reference)
        raise
    parsed = parse_manifest(fetched.content, media_type=fetched.media_type, origin=str(reference))
    if isinstance(parsed, Index):
        entry = choose_manifest(parsed, str(reference), architecture=machine_architecture())
        chosen = reference.with_digest(entry.digest)
        fetched = await with_retries(retry, lambda: registry.fetch_manifest(chosen))
        parsed = parse_manifest(fetched.content, media_type=fetched.media_type, origin=str(chosen))
    if isinstance(parsed, Index):
        raise NoModelInSource(f"{reference}: it is an index of indexes; name the model's manifest by its digest")
    check_model(parsed, str(reference))
    plan_view(parsed, str(reference))
    return fetched, parsed


async def _refuse_moved_tag(registry: Registry, reference: Reference) -> None:
    """Raise DigestMismatch where the tag beside a pin is there and leads elsewhere: that is what the user must know."""
    if reference.digest is None or reference.tag is None:
        return
    try:
        found = await registry.fetch_manifest(replace(reference, digest=None))
    except SourceError:
        return
    raise DigestMismatch(
        f"{reference.name}:{reference.tag} is {found.digest}, and {registry.name} has nothing with the digest "
        f"{reference.digest} that is asked for; pin the digest that is there, or push what was meant"
    )
