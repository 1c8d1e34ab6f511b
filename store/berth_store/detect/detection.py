"""`detect`: from a path to a `DetectedModel`, by content first. The runtime, the CLI and packaging start here."""

import os
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from berth_api.artifact import Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.gguf import detect_gguf, detect_gguf_folder
from berth_store.detect.kinds import Kind, refusal, sniff
from berth_store.detect.model import DetectedModel
from berth_store.detect.onnx import choose_graph, detect_onnx, folder_of, named_graph
from berth_store.detect.pickles import detect_pickles
from berth_store.detect.safetensors import detect_safetensors
from berth_store.detect.tasks import is_generative
from berth_store.detect.tflite import choose_tflite, detect_tflite
from berth_store.detect.wish import Wish, ask_which

FORMATS = {
    Kind.GGUF: Format.GGUF,
    Kind.ONNX: Format.ONNX,
    Kind.SAFETENSORS: Format.SAFETENSORS,
    Kind.TFLITE: Format.TFLITE,
}
Found = dict[Format, list[Path]]
_REMEDY_FORMAT = "correct `spec.artifact.format` or `spec.engine.type`, whichever asks for it"


def detect(
    path: Path,
    *,
    task: Task = Task.AUTO,
    formats: Collection[Format] = (),
    own_template: bool = False,
    pickles: bool = False,
) -> DetectedModel:
    """What the file or folder at `path` is, read in this process.

    `task` and `formats` (empty: any) are the user's own words and win over what the files say; `own_template` says that
    the user gives a chat template too. `UnsupportedModel` says what is wrong or left open, why, and what to do. Use
    `detect_bounded` for files that come from elsewhere.
    """
    wish = Wish(task, frozenset(formats), own_template, pickles=pickles)
    if not str(path).isprintable():
        raise UnsupportedModel(f"{str(path)!a} has characters in its name that can't be printed; rename it")
    path = Path(os.path.abspath(path))
    if path.is_dir():
        return _detect_folder(ModelFolder(path), wish)
    return _detect_file(path, wish)


def _detect_file(path: Path, wish: Wish) -> DetectedModel:
    kind = sniff(path)
    found = _format_of(kind, wish)
    if found is None:
        raise refusal(path, kind)
    if not wish.allows(found):
        raise UnsupportedModel(f"{path.name} is {kind}, and {wish.format_words} is asked for; {_REMEDY_FORMAT}")
    match found:
        case Format.GGUF:
            return detect_gguf(path, wish)
        case Format.ONNX:
            return detect_onnx(folder_of(path), path, wish)
        case Format.SAFETENSORS:
            return detect_safetensors(ModelFolder(path.parent), [path], wish)
        case Format.PYTORCH:
            return detect_pickles(ModelFolder(path.parent), [path], wish)
        case _:
            return detect_tflite(ModelFolder(path.parent), path, wish)


def _detect_folder(folder: ModelFolder, wish: Wish) -> DetectedModel:
    found, refused = _look_through(folder, wish)
    graphs_below = [path for path in folder.files_in("onnx") if sniff(path) is Kind.ONNX]
    formats = set(found) | ({Format.ONNX} if graphs_below else set())
    if not formats:
        raise _nothing_found(folder, refused)
    chosen, notes = _choose_format(folder, formats, wish)
    match chosen:
        case Format.GGUF:
            model = detect_gguf_folder(folder, found[chosen], wish)
        case Format.ONNX:
            graph = named_graph(folder, wish) or choose_graph(folder, found[chosen], graphs_below)
            model = detect_onnx(folder, graph, wish)
        case Format.SAFETENSORS:
            model = detect_safetensors(folder, found[chosen], wish)
        case Format.PYTORCH:
            model = detect_pickles(folder, found[chosen], wish)
        case _:
            model = detect_tflite(folder, choose_tflite(folder, found[chosen]), wish)
    return replace(model, notes=(*model.notes, *notes, *_notes_on_skipped(folder)))


def _format_of(kind: Kind, wish: Wish) -> Format | None:
    return Format.PYTORCH if kind is Kind.PICKLE and wish.pickles else FORMATS.get(kind)


def _look_through(folder: ModelFolder, wish: Wish) -> tuple[Found, dict[Kind, list[Path]]]:
    """The folder's files by format, and those that may be weights but are refused."""
    found: Found = defaultdict(list)
    refused: dict[Kind, list[Path]] = defaultdict(list)
    for path in folder.files:
        kind = sniff(path)
        if (form := _format_of(kind, wish)) is not None:
            found[form].append(path)
        elif kind is not Kind.OTHER:
            refused[kind].append(path)
    return found, refused


def _nothing_found(folder: ModelFolder, refused: dict[Kind, list[Path]]) -> UnsupportedModel:
    """The most telling reason: a pointer or a web page where weights should be, else a pickle, else anything."""
    for kind in (Kind.LFS_POINTER, Kind.HTML, Kind.PICKLE, *refused):
        if kind in refused and kind is not Kind.EMPTY:
            return refusal(refused[kind][0], kind)
    outside = f" ({', '.join(folder.skipped[:3])} lead out of it or are no files)" if folder.skipped else ""
    return UnsupportedModel(
        f"{folder.root} holds no model{outside}: no file in it is GGUF, ONNX, safetensors or TFLite by its content; "
        "name the file with the weights, or their folder"
    )


def _choose_format(folder: ModelFolder, formats: set[Format], wish: Wish) -> tuple[Format, tuple[str, ...]]:
    """The format to serve. ONNX beside safetensors are the same model twice: engines differ, so the task decides."""
    # Beside weights of another kind a pickle is the same model again, or what its training left behind.
    others = formats - {Format.PYTORCH}
    allowed = sorted(filter(wish.allows, others)) or sorted(filter(wish.allows, formats))
    if not allowed:
        held = ", ".join(sorted(formats))
        raise UnsupportedModel(f"{folder.root} holds {held} and no {wish.format_words}; {_REMEDY_FORMAT}")
    if len(allowed) == 1:
        return allowed[0], ()
    if set(allowed) == {Format.ONNX, Format.SAFETENSORS}:
        architecture = next(iter(config.texts(folder.json("config.json"), "architectures")), None)
        chosen = Format.SAFETENSORS if is_generative(architecture) else Format.ONNX
        other = next(each for each in allowed if each is not chosen)
        return chosen, (f"the folder also holds {other}: set `spec.artifact.format` to {other} to serve that",)
    remedy = "set `spec.artifact.format`, or name the file that is meant in place of the folder"
    raise ask_which(str(folder.root), "models of several formats", allowed, remedy)


def _notes_on_skipped(folder: ModelFolder) -> tuple[str, ...]:
    names = folder.skipped[:3]
    return (f"passed over, since they lead out of the folder or are no files: {', '.join(names)}",) if names else ()
