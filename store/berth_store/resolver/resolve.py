"""`resolve`: from a reference to what the artifact is, by its manifest and the headers of its files."""

from dataclasses import dataclass
from pathlib import Path

from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.engines import formats_of
from berth_api.errors import UnsupportedModel
from berth_store.detect.paged import detect_paged
from berth_store.pull import fetch_model_manifest, refuse_local
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.registry import Registry
from berth_store.resolver.scratch import Scratch
from berth_store.transport import Transport


@dataclass(frozen=True)
class Resolution:
    """What an artifact is. `weights` is the main file's name in the artifact, `notes` say what was passed over."""

    artifact: Artifact
    weights: str
    notes: tuple[str, ...] = ()


async def resolve(
    reference: Reference,
    *,
    registries: RegistryConfig,
    scratch: Path,
    task: Task = Task.AUTO,
    engine: EngineType = EngineType.AUTO,
    weights_format: Format | None = None,
) -> Resolution:
    """What the artifact is; `scratch` is an empty folder for the parts of it that are looked at.

    `task` and `weights_format` are the user's words; without the latter, what the `engine` loads is looked for. Raises
    what `berth_store.errors` lists, UnsupportedModel where it is no model, Unavailable where it can't be looked at now.
    """
    refuse_local(reference)
    async with Transport(registries) as transport:
        registry = Registry(transport, registries, reference)
        fetched, manifest = await fetch_model_manifest(registry, reference)
        there = Scratch(scratch, registry, reference, fetched.digest, manifest)
        await there.prepare()
        try:
            formats = {weights_format} if weights_format else formats_of(engine)
            found = await detect_paged(there.view, there.supply, task=task, formats=formats)
        except UnsupportedModel as error:
            raise UnsupportedModel(_named(str(error), there.view, reference)) from error
    facts = {"digest": fetched.digest, "size_bytes": manifest.size_bytes}
    return Resolution(
        artifact=found.artifact.model_copy(update=facts),
        weights=str(found.weights[0].relative_to(there.view)),
        notes=tuple(_named(note, there.view, reference) for note in found.notes),
    )


def _named(text: str, view: Path, reference: Reference) -> str:
    """The sentence with the artifact's name in place of the folder that it was looked at in."""
    return text.replace(str(view), str(reference))
