"""Packaging: from a model's files to an artifact in the store, in Docker's format or in ModelPack's.

The digest depends on the files and the arguments alone: no times, owners or modes are written, names are sorted, and
the moment of creation is left out unless SOURCE_DATE_EPOCH gives one. The user's files are copied, never linked.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from berth_api.artifact import Format, Task
from berth_api.errors import FieldError, InvalidSpec, UnsupportedModel
from berth_store import mediatypes
from berth_store.detect import DetectedAdapter, DetectedModel, detect_either_bounded
from berth_store.digest import Digest
from berth_store.durable import writing
from berth_store.headers.gguf import read_gguf
from berth_store.headers.gguf_header import ArrayLength, LongString, MetadataValue
from berth_store.ingest import ingest_file
from berth_store.local import Store
from berth_store.manifest import Descriptor, Manifest, build_manifest, parse_manifest
from berth_store.model_config import build_config, build_modelpack_config
from berth_store.packing import NO_EXTRAS, Extras, LayerFile, PackageFormat, PackagePlan, plan_adapter, plan_package
from berth_store.progress import Meter, Report, Stage
from berth_store.reference import Reference
from berth_store.view import plan_view

ENV_CREATED = "SOURCE_DATE_EPOCH"
# As Docker Model Runner does: longer arrays (vocabularies) would make the config larger than it may be.
MAX_ARRAY_VALUES = 50
MAX_CONTEXT_LENGTH = 2**31 - 1


def package(
    store: Store,
    path: Path,
    reference: Reference,
    *,
    extras: Extras = NO_EXTRAS,
    package_format: PackageFormat = PackageFormat.DOCKER,
    context_length: int | None = None,
    task: Task = Task.AUTO,
    progress: Report | None = None,
) -> Digest:
    """Make an artifact of the model or adapter at `path`, name it, and return its manifest's digest.

    `task` is only needed where detection asks for it. UnsupportedModel says why something can't be packaged.
    """
    if reference.digest is not None:
        raise InvalidSpec(FieldError("reference digest", "a digest can't be chosen", "give a name and a tag only"))
    if context_length is not None and not 0 < context_length <= MAX_CONTEXT_LENGTH:
        raise InvalidSpec(FieldError("context length", f"{context_length} is out of range", "give a number of tokens"))
    if context_length is not None and package_format is PackageFormat.MODELPACK:
        remedy = "package in Docker's format, or set `spec.contextLength` of the Model"
        raise InvalidSpec(FieldError("context length", "ModelPack has no place for it", remedy))
    path = Path(os.path.abspath(path))
    detected = detect_either_bounded(path, task=task, own_template=extras.chat_template is not None)
    _check_extras(extras)
    if isinstance(detected, DetectedAdapter):
        plan = plan_adapter(detected, extras=extras, package_format=package_format)
    else:
        plan = plan_package(path, detected, extras=extras, package_format=package_format)
    meter = Meter(reference, progress)
    meter.expect(_size_of(plan))
    meter.enter(Stage.PACKAGING)
    with store.using(), writing(store.root):
        layers = [_layer(store, file, meter) for file in plan.files]
        config = _config(store, plan, detected, layers, context_length)
        manifest = build_manifest(config=config, layers=layers, artifact_type=plan.artifact_type)
        _check_readable(manifest, str(path))
        digest = store.write_blob(manifest).digest
        store.tag(reference, digest)
    meter.enter(Stage.DONE)
    return digest


def source_date(environ: Mapping[str, str] = os.environ) -> datetime | None:
    """The moment that SOURCE_DATE_EPOCH stands for; None without it, InvalidSpec if it is none."""
    text = environ.get(ENV_CREATED)
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidSpec(FieldError(ENV_CREATED, f"{text!r} is no time", "give seconds since 1970")) from error


def gguf_facts(metadata: Mapping[str, MetadataValue]) -> dict[str, str]:
    """A GGUF's key-value pairs as Docker's config holds them: all text, without what is long."""
    return {
        key: _as_text(value)
        for key, value in metadata.items()
        if not isinstance(value, ArrayLength | LongString)
        and not (isinstance(value, tuple) and len(value) > MAX_ARRAY_VALUES)
    }


def _check_extras(extras: Extras) -> None:
    """Raise UnsupportedModel for a projector or an adapter that is none."""
    for path, kind, what in ((extras.projector, "mmproj", "projector"), (extras.adapter, "adapter", "LoRA adapter")):
        if path is None:
            continue
        header = read_gguf(path)
        if header.kind != kind and not (kind == "mmproj" and header.architecture == "clip"):
            raise UnsupportedModel(
                f"{path.name} is no {what} (its `general.type` is {header.kind!r}); give one as GGUF"
            )


def _size_of(plan: PackagePlan) -> int:
    try:
        return sum(file.path.stat().st_size for file in plan.files)
    except OSError as error:
        raise UnsupportedModel(f"{error.filename} can't be read: {error.strerror}; check the path") from error


def _layer(store: Store, file: LayerFile, meter: Meter) -> Descriptor:
    blob = ingest_file(store, file.path, advance=meter.add)
    annotations = {mediatypes.ANNOTATION_FILEPATH: file.name, mediatypes.ANNOTATION_TITLE: file.name}
    return blob.model_copy(update={"media_type": file.media_type, "annotations": annotations})


def _config(
    store: Store,
    plan: PackagePlan,
    detected: DetectedModel | DetectedAdapter,
    layers: Sequence[Descriptor],
    context_length: int | None,
) -> Descriptor:
    artifact = detected.artifact
    digests = [layer.digest for layer in layers]
    if plan.config_type == mediatypes.CONFIG_MODELPACK:
        content = build_modelpack_config(artifact, layers=digests, created=source_date())
        return store.write_blob(content).model_copy(update={"media_type": plan.config_type})
    content = build_config(
        artifact,
        layers=digests,
        context_length=context_length or artifact.context_length,
        gguf=gguf_facts(read_gguf(detected.weights[0]).metadata) if artifact.format is Format.GGUF else {},
        created=source_date(),
    )
    return store.write_blob(content).model_copy(update={"media_type": plan.config_type})


def _check_readable(manifest: bytes, origin: str) -> None:
    """What would be refused when it is pulled must not be made."""
    parsed = parse_manifest(manifest, origin=origin)
    if isinstance(parsed, Manifest):
        plan_view(parsed, origin)


def _as_text(value: MetadataValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(_as_text(each) for each in value)
    return str(value)
