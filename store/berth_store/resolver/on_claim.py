"""`resolve_on_claim`: what a model on a mounted claim is, by the headers of its files where they lie."""

from pathlib import Path

from berth_api.artifact import EngineType, Format, Task
from berth_api.claim_path import ClaimPath
from berth_api.engines import formats_of
from berth_api.errors import UnsupportedModel
from berth_store.detect import detect_bounded
from berth_store.digest import Digest
from berth_store.on_claim import digest_on_claim, find_on_claim, list_on_claim
from berth_store.resolver.resolve import Resolution


def resolve_on_claim(
    place: ClaimPath,
    volume: Path,
    *,
    pinned: Digest | None = None,
    task: Task = Task.AUTO,
    engine: EngineType = EngineType.AUTO,
    weights_format: Format | None = None,
    own_template: bool = False,
    pickles: bool = False,
) -> Resolution:
    """What lies at `place`, where its claim is mounted at `volume`; the options are those of `resolve`.

    Raises what `berth_store.errors` lists, and UnsupportedModel where it is no model.
    """
    path = find_on_claim(volume, place)
    files = list_on_claim(path, place)
    formats = {weights_format} if weights_format else formats_of(engine)
    try:
        found = detect_bounded(path, task=task, formats=formats, own_template=own_template, pickles=pickles)
    except UnsupportedModel as error:
        raise type(error)(str(error).replace(str(path), place.uri)) from error
    facts = {"digest": digest_on_claim(files, place, pinned), "size_bytes": sum(file.size for file in files)}
    return Resolution(
        artifact=found.artifact.model_copy(update=facts),
        # A file is named by the source itself, a folder's main one is told.
        weights=str(found.weights[0].relative_to(path)) if path.is_dir() else "",
        notes=tuple(note.replace(str(path), place.uri) for note in found.notes),
    )
