"""Which files become which layers of an artifact: the plan of a package, as a value. It looks at names and links only.

In Docker's format a GGUF file (with the other shards of its model) becomes a v0.1 artifact, whose files lie side by
side; a TFLite file (with what detection reads beside it) and a folder a v0.2 artifact with one layer for each file,
a folder's sorted by path. In ModelPack's they are the same, and a layer's type says what it is for instead of what it
holds. An adapter by itself is its one file, with PEFT's settings beside safetensors. Hidden files stay out. A link is
followed if it stays inside the folder (or leads into the blobs beside it, as in the cache of Hugging Face); any other
is refused, for leaving a file out in silence would break the model.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from berth_api.artifact import Format
from berth_api.errors import UnsupportedModel
from berth_store import mediatypes
from berth_store.detect import DetectedAdapter, DetectedModel
from berth_store.detect.adapter import SETTINGS_NAME, WEIGHTS_NAME
from berth_store.detect.tflite import files_beside
from berth_store.headers.folder import is_own_file
from berth_store.manifest import MAX_LAYERS

# The formats whose weights may be a model without any other file.
_ALONE = {Format.GGUF: mediatypes.CONFIG_V01, Format.TFLITE: mediatypes.CONFIG_V02}
_WEIGHT_TYPES = frozenset({mediatypes.GGUF, mediatypes.SAFETENSORS, mediatypes.PROJECTOR, mediatypes.ADAPTER})
_WEIGHT_SUFFIXES = (".onnx", ".onnx_data", ".onnx.data", ".tflite", ".litertlm")
_DOC_SUFFIXES = (".md", ".pdf", ".png", ".jpg", ".svg")
_LICENSE_STEMS = ("license", "licence", "copying", "notice")


class PackageFormat(StrEnum):
    """The published format in which a package is written."""

    DOCKER = "docker"
    MODELPACK = "modelpack"


@dataclass(frozen=True)
class Extras:
    """What the user adds to the model's own files."""

    licenses: Sequence[Path] = ()
    chat_template: Path | None = None
    projector: Path | None = None
    adapter: Path | None = None


@dataclass(frozen=True)
class LayerFile:
    """One file on its way to become a layer. `name` is its path inside the artifact."""

    path: Path
    name: str
    media_type: str


@dataclass(frozen=True)
class PackagePlan:
    """What is to be packaged: layers in manifest order, and the type of the config."""

    config_type: str
    files: tuple[LayerFile, ...]
    artifact_type: str | None = None


NO_EXTRAS = Extras()


def plan_package(
    path: Path,
    detected: DetectedModel,
    *,
    extras: Extras = NO_EXTRAS,
    package_format: PackageFormat = PackageFormat.DOCKER,
) -> PackagePlan:
    """The plan for what `detected` was found at `path`. UnsupportedModel names a file that can't come along."""
    if path.is_dir():
        files, config_type = _folder_files(path, detected), mediatypes.CONFIG_V02
    elif detected.format in _ALONE:
        files, config_type = _side_by_side(detected), _ALONE[detected.format]
    else:
        raise UnsupportedModel(
            f"{path} is {detected.format} and needs the files beside it (tokenizer, settings); package its folder"
        )
    added = _added(extras)
    replaced = {each.name for each in added}
    files = (*(each for each in files if each.name not in replaced), *added)
    if len(files) > MAX_LAYERS:
        raise UnsupportedModel(f"{path} has {len(files):,} files, at most {MAX_LAYERS:,} fit into an artifact")
    return _in_format(package_format, config_type, files)


def plan_adapter(
    detected: DetectedAdapter, *, extras: Extras = NO_EXTRAS, package_format: PackageFormat = PackageFormat.DOCKER
) -> PackagePlan:
    """The plan for an adapter by itself. UnsupportedModel where something is added that belongs to a model."""
    if extras.chat_template or extras.projector or extras.adapter:
        raise UnsupportedModel(
            f"{detected.weights[0].name} is an adapter by itself, so chat template, projector and further adapters "
            "don't go with it; add them to the model, or package each adapter alone"
        )
    (weights,) = detected.weights
    if detected.artifact.format is Format.GGUF:
        files, config_type = [LayerFile(weights, weights.name, mediatypes.ADAPTER)], mediatypes.CONFIG_V01
    else:
        # Under the names by which PEFT and vLLM look for them, whatever the file is called here.
        settings = LayerFile(detected.root / SETTINGS_NAME, SETTINGS_NAME, mediatypes.MODEL_FILE)
        files = [settings, LayerFile(weights, WEIGHTS_NAME, mediatypes.SAFETENSORS)]
        config_type = mediatypes.CONFIG_V02
    return _in_format(package_format, config_type, (*files, *_added(extras)))


def _in_format(package_format: PackageFormat, config_type: str, files: tuple[LayerFile, ...]) -> PackagePlan:
    if package_format is PackageFormat.DOCKER:
        return PackagePlan(config_type, files)
    renamed = tuple(replace(each, media_type=modelpack_type_of(each)) for each in files)
    return PackagePlan(mediatypes.CONFIG_MODELPACK, renamed, mediatypes.MODELPACK_MANIFEST)


def media_type_of(name: str, *, projector: bool = False) -> str:
    """The media type of a model's file, by its name."""
    base = name.rpartition("/")[2].lower()
    if base.endswith(".gguf"):
        return mediatypes.PROJECTOR if projector else mediatypes.GGUF
    if base.endswith(".safetensors"):
        return mediatypes.SAFETENSORS
    if base.endswith(".jinja"):
        return mediatypes.CHAT_TEMPLATE
    if base.startswith(_LICENSE_STEMS):
        return mediatypes.LICENSE
    return mediatypes.MODEL_FILE


def modelpack_type_of(file: LayerFile) -> str:
    """What ModelPack calls a layer with this file; Docker's type of it says what the name alone does not."""
    if file.media_type in _WEIGHT_TYPES or file.name.lower().endswith(_WEIGHT_SUFFIXES):
        return mediatypes.MODELPACK_WEIGHT
    if file.media_type == mediatypes.LICENSE or file.name.lower().endswith(_DOC_SUFFIXES):
        return mediatypes.MODELPACK_DOC
    return mediatypes.MODELPACK_CODE if file.name.endswith(".py") else mediatypes.MODELPACK_SETTINGS


def _added(extras: Extras) -> list[LayerFile]:
    added = [LayerFile(each, each.name, mediatypes.LICENSE) for each in sorted(extras.licenses, key=_name)]
    if extras.chat_template is not None:
        added.append(LayerFile(extras.chat_template, mediatypes.CHAT_TEMPLATE_NAME, mediatypes.CHAT_TEMPLATE))
    if extras.projector is not None:
        added.append(LayerFile(extras.projector, extras.projector.name, mediatypes.PROJECTOR))
    if extras.adapter is not None:
        added.append(LayerFile(extras.adapter, extras.adapter.name, mediatypes.ADAPTER))
    return added


def _name(path: Path) -> str:
    return path.name


def _side_by_side(detected: DetectedModel) -> tuple[LayerFile, ...]:
    """The weights alone, in their own order; of TFLite also what detection read beside them, sorted."""
    names = sorted(files_beside(detected.task)) if detected.format is Format.TFLITE else []
    beside = [path for name in names if is_own_file(detected.root, path := detected.root / name)]
    files = {path.relative_to(detected.root).as_posix(): path for path in (*detected.weights, *beside)}
    return tuple(LayerFile(path, name, media_type_of(name)) for name, path in files.items())


def _folder_files(root: Path, detected: DetectedModel) -> tuple[LayerFile, ...]:
    found = sorted((path.relative_to(root).as_posix(), path) for path in _walk(root, root))
    return tuple(
        LayerFile(path, name, media_type_of(name, projector=path == detected.projector)) for name, path in found
    )


def _walk(root: Path, folder: Path) -> Iterator[Path]:
    try:
        entries = [Path(entry) for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError as error:
        raise UnsupportedModel(f"{folder} can't be read: {error.strerror}; check its permissions") from error
    for path in entries:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(root, path)
        elif is_own_file(root, path):
            yield path
        else:
            kind = "a link that leads out of it" if stat.S_ISLNK(mode) else "no regular file"
            raise UnsupportedModel(f"{path.relative_to(root)} in {root} is {kind}; put the file there, or take it away")
