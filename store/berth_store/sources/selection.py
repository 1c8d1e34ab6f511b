"""Which files of a source are fetched: those of the user's patterns, or what one model needs. Pure functions of names.

A repository holds the same weights many times over: for other frameworks, in other precisions, as pickles. One of them
is enough. What is taken is safetensors, else GGUF of one quantisation, else ONNX, else TFLite; where the names leave a
choice, it is asked for. Pickles are taken only where they are trusted and there is nothing else, because loading one
runs whatever its maker wrote into it; and code only where that is.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from berth_api.errors import PickleRefused
from berth_api.trust import NO_TRUST, Trust
from berth_store.errors import NoModelInSource
from berth_store.sources.patterns import matches
from berth_store.sources.protocol import ListedFile

MAX_NAMED = 12
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".nemo")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".mar")
# Weights for other frameworks, programs, and what people look at.
_NEEDLESS = (
    *(
        ".h5",
        ".msgpack",
        ".ot",
        ".pb",
        ".mlmodel",
        ".ckpt.index",
        ".safetensors.bak",
        ".npz",
        ".xml",
        ".engine",
        ".dat",
    ),
    *(".pyc", ".sh", ".ipynb", ".so", ".dll", ".js"),
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".mp4", ".webm", ".wav", ".mp3", ".flac", ".pdf", ".html"),
    *(".parquet", ".arrow", ".csv", ".tsv", ".jsonl", ".log", ".md"),
    ".sig",  # A signature is looked for where one is demanded; what it signs is the same with it or without.
)
_CODE = ".py"
# What transformers calls its pickles: others in a repository are an optimizer's, or what is left of a training.
_PICKLED_WEIGHTS = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin")
_NEEDLESS_FOLDERS = frozenset(
    {"onnx", "openvino", "coreml", "original", "flax", "tf", "tensorflow", "runs", "checkpoints", "assets", "images"}
)
_LICENSES = ("license", "licence", "notice", "copying", "use_policy")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_QUANTIZATION = re.compile(
    r"(?:^|[-._])((?:UD-)?(?:I?Q[1-9](?:_[0-9A-Z]+)*|TQ[12]_0|MXFP4(?:_MOE)?|BF16|F16|FP16|F32|FP32))$", re.IGNORECASE
)
_VARIANT = re.compile(r"\.(?:fp16|bf16|fp32|non_ema|ema_only)(?=[.-])", re.IGNORECASE)
_PRECISION = re.compile(r"_(?:fp16|bf16|fp32|int8|uint8|q4|q4f16|bnb4|quantized|quint8\w*|qint8\w*|O[1-4])$")


@dataclass(frozen=True)
class Selection:
    """What is taken. `notes` say what was passed over, where somebody could have wanted it."""

    files: tuple[ListedFile, ...]
    notes: tuple[str, ...] = ()


def select_matching(
    files: Sequence[ListedFile], patterns: Sequence[str], origin: str, trust: Trust = NO_TRUST
) -> Selection:
    """The files that the user asks for. Raises NoModelInSource where there are none, PickleRefused for nothing else."""
    matching = [file for file in files if matches(file.path, patterns)]
    chosen = [file for file in matching if trust.pickle or not is_pickle(file.path)]
    if chosen:
        notes = _passed_over(matching, chosen, "because loading a pickle runs what its maker wrote into it")
        return Selection(tuple(chosen), notes)
    if matching:
        raise PickleRefused(
            f"{origin}: spec.source.files matches pickles only ({_listed(file.path for file in matching)}), and these "
            f"are not fetched; name safetensors, GGUF or ONNX files, or {PickleRefused.REMEDY}"
        )
    raise NoModelInSource(
        f"{origin}: no file matches spec.source.files ({', '.join(patterns)}); "
        f"there are {_listed(file.path for file in files)}"
    )


def select_model(files: Sequence[ListedFile], quantization: str, origin: str, trust: Trust = NO_TRUST) -> Selection:
    """What one model needs.

    Raises NoModelInSource where there is none, or where the names leave a choice, PickleRefused where there are pickles
    alone and these are not trusted.
    """
    seen = [file for file in files if not _is_hidden(file.path)]
    useful = [file for file in seen if _is_useful(file.path) or (trust.remote_code and _is_code(file.path))]
    if not quantization and (chosen := _safetensors(useful)):
        return Selection(tuple(chosen), _other_weights(seen, chosen))
    if chosen := _gguf(seen, quantization, origin):
        return Selection(tuple(chosen))
    if quantization:
        raise NoModelInSource(f"{origin}: it has no GGUF files; leave out the quantisation {quantization}")
    if chosen := _one_of(seen, ".onnx", origin):
        return Selection(tuple(chosen))
    if chosen := _one_of(seen, ".tflite", origin):
        return Selection(tuple(chosen))
    pickles = [file for file in seen if is_pickle(file.path)]
    if trust.pickle and (weights := [file for file in pickles if _PICKLED_WEIGHTS.fullmatch(file.path)]):
        return Selection((*weights, *(file for file in useful if not _is_weights(file.path))))
    if pickles and not trust.pickle:
        raise PickleRefused(
            f"{origin}: its weights are pickles ({_listed(file.path for file in pickles)}), which are not fetched, "
            "because loading one runs what its maker wrote into it; use a conversion to safetensors, GGUF or ONNX, or "
            f"{PickleRefused.REMEDY}"
        )
    raise NoModelInSource(_nothing(files, origin))


def is_pickle(path: str) -> bool:
    """Whether a file of this name may be a pickle."""
    return path.lower().endswith(_PICKLES)


def quantization_of(path: str) -> str:
    """The quantisation that a GGUF's name tells, in capitals; empty where it tells none."""
    found = _QUANTIZATION.search(_stem(path).rpartition("/")[2])
    return found[1].upper() if found else ""


def _safetensors(files: Sequence[ListedFile]) -> list[ListedFile]:
    weights = [file for file in files if file.path.endswith(".safetensors")]
    plain = {_VARIANT.sub("", file.path) for file in weights if not _VARIANT.search(file.path)}
    by_name = {file.path for file in weights}
    has_own = any(name == "model.safetensors" or name.startswith("model-0") for name in by_name)
    kept = {
        file
        for file in weights
        if not (_VARIANT.search(file.path) and _VARIANT.sub("", file.path) in plain)
        and not (has_own and file.path.startswith("consolidated"))
    }
    if not kept:
        return []
    return [file for file in files if file in kept or not _is_weights(file.path)]


def _gguf(files: Sequence[ListedFile], quantization: str, origin: str) -> list[ListedFile]:
    found = [file for file in files if file.path.lower().endswith(".gguf") and "imatrix" not in file.path.lower()]
    models: dict[str, list[ListedFile]] = {}
    projectors = []
    for file in found:
        if "mmproj" in file.path.rpartition("/")[2].lower():
            projectors.append(file)
        else:
            models.setdefault(_stem(file.path), []).append(file)
    if not models:
        return []
    wanted = {
        stem: shards
        for stem, shards in models.items()
        if not quantization or _is_of(quantization, quantization_of(shards[0].path))
    }
    if len(wanted) != 1:
        raise NoModelInSource(_which_gguf(origin, quantization, models))
    (shards,) = wanted.values()
    return [*shards, *_projector(projectors), *(file for file in files if _is_beside_gguf(file.path))]


def _is_of(wanted: str, found: str) -> bool:
    """Whether a file's quantisation is the wanted one; its makers' mark (`UD-`) may be left out only if it has none."""
    aliases = {"FP16": "F16", "FP32": "F32"}
    return aliases.get(found, found) == aliases.get(wanted, wanted)


def _projector(projectors: Sequence[ListedFile]) -> Sequence[ListedFile]:
    """One of those that differ in precision only; the half one is what llama.cpp itself prefers."""
    half = [file for file in projectors if quantization_of(file.path) in {"F16", "FP16"}]
    return (half or list(projectors))[:1]


def _which_gguf(origin: str, quantization: str, models: Iterable[str]) -> str:
    stems = sorted(models)
    choices = sorted({quantization_of(stem) for stem in stems} - {""})
    place = origin.partition(":")[0]
    if choices and len(choices) == len(stems):
        how = "write one after a colon at the end of the address" if place == "hf" else "name its file in `files`"
        listed = _listed(choices)
    else:
        how, listed = "name one in spec.source.files", _listed(f"{stem}.gguf" for stem in stems)
    what = f"no GGUF is {quantization}" if quantization else f"there are {len(stems)} GGUF models"
    return f"{origin}: {what}; {how}: {listed}"


def _one_of(files: Sequence[ListedFile], suffix: str, origin: str) -> list[ListedFile]:
    """The one model of a format that may be there in several precisions, with the settings beside it."""
    found = [file for file in files if file.path.lower().endswith(suffix)]
    plain = [file for file in found if not _PRECISION.search(file.path.removesuffix(suffix))]
    candidates = plain if len(plain) == 1 else found
    if not candidates:
        return []
    if len(candidates) > 1:
        raise NoModelInSource(
            f"{origin}: there are {len(candidates)} models; name one, and the settings beside it, in "
            f"spec.source.files: {_listed(file.path for file in candidates)}"
        )
    (model,) = candidates
    beside = [file for file in files if file.path.startswith((f"{model.path}_data", f"{model.path}.data"))]
    settings = [file for file in files if _is_useful(file.path) and not _is_weights(file.path)]
    return list(dict.fromkeys([model, *beside, *settings]))


def _nothing(files: Sequence[ListedFile], origin: str) -> str:
    pickles = [file.path for file in files if is_pickle(file.path)]
    archives = [file.path for file in files if file.path.lower().endswith(_ARCHIVES)]
    if pickles:
        return (
            f"{origin}: none of its pickles ({_listed(pickles)}) is pytorch_model.bin; name files in spec.source.files"
        )
    if archives:
        return f"{origin}: archives are not unpacked ({_listed(archives)}); put the files themselves there"
    there = f"there are {_listed(file.path for file in files)}" if files else "it is empty"
    return f"{origin}: there are no weights in safetensors, GGUF, ONNX or TFLite; {there}"


def _other_weights(files: Sequence[ListedFile], chosen: Sequence[ListedFile]) -> tuple[str, ...]:
    taken = set(chosen)
    other = [file for file in files if file not in taken and _is_weights(file.path) and not is_pickle(file.path)]
    if not other:
        return ()
    named = _listed(file.path for file in other)
    return (f"of several kinds of weights the safetensors are taken; spec.source.files may name others: {named}",)


def _passed_over(matching: Sequence[ListedFile], chosen: Sequence[ListedFile], because: str) -> tuple[str, ...]:
    taken = set(chosen)
    other = [file.path for file in matching if file not in taken]
    return (f"{_listed(other)} passed over, {because}",) if other else ()


def _is_code(path: str) -> bool:
    """Whether it is Python that a model may bring; in the folders that hold no model, it is none of the model's."""
    return path.endswith(_CODE) and _is_useful(path.removesuffix(_CODE))


def _is_useful(path: str) -> bool:
    lowered = path.lower()
    folders, _, name = lowered.rpartition("/")
    if name.startswith(_LICENSES):
        return not folders
    return not (
        lowered.endswith((*_PICKLES, *_ARCHIVES, *_NEEDLESS, _CODE))
        or _is_hidden(path)
        or any(folder in _NEEDLESS_FOLDERS or folder.startswith("checkpoint-") for folder in folders.split("/"))
    )


def _is_weights(path: str) -> bool:
    lowered = path.lower()
    return is_pickle(lowered) or lowered.endswith(
        (".safetensors", ".gguf", ".onnx", ".onnx_data", ".onnx.data", ".tflite", ".litertlm", ".task")
    )


def _is_beside_gguf(path: str) -> bool:
    lowered = path.lower()
    return "/" not in path and (lowered.startswith(_LICENSES) or lowered.endswith(".jinja"))


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") and part not in {".", ".."} for part in path.split("/"))


def _stem(path: str) -> str:
    """Without the suffix, and without the number of a shard."""
    return _SHARD.sub("", path[: -len(".gguf")] if path.lower().endswith(".gguf") else path)


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - MAX_NAMED} more" if len(known) > MAX_NAMED else ""
    return f"{', '.join(name[:120] for name in known[:MAX_NAMED])}{more}"
