"""What follows from settings and configuration alone, before PyTorch is asked: class, device, numbers. Pure.

Called by `berth_runtime.engines.torch_loading` and `torch_models`; whatever can't be right is a `LoadFailed`.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final

from berth_api.artifact import Format, Task
from berth_runtime.engines.engine_arguments import argument
from berth_runtime.engines.protocol import LoadFailed
from berth_runtime.engines.text_window import BatchLimits
from berth_runtime.engines.vision_scheduler import BatchLimits as PictureLimits
from berth_store.detect import DetectedModel

AUTO_CLASSES: Final[Mapping[Task, str]] = {
    Task.EMBEDDING: "AutoModel",
    Task.RERANK: "AutoModelForSequenceClassification",
    Task.TEXT_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Task.IMAGE_CLASSIFICATION: "AutoModelForImageClassification",
    Task.OBJECT_DETECTION: "AutoModelForObjectDetection",
}
"""The class of transformers that builds a model for the task."""

# The names under which transformers looks for weights in a folder.
_WEIGHTS_NAMES: Final[Mapping[Format, re.Pattern[str]]] = {
    Format.SAFETENSORS: re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors"),
    Format.PYTORCH: re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin"),
}

# A vector is made of the tokens' vectors, so what makes another one of them may be missing, as it often is.
_NOT_NEEDED: Final[Mapping[Task, re.Pattern[str]]] = {Task.EMBEDDING: re.compile(r"(.+\.)?pooler\..+")}

MAX_NAMED: Final = 4

# With all cores in one run, batches are worth their padding up to larger sizes than with one core a run.
CPU_LIMITS: Final = BatchLimits(max_sequences=32, max_tokens=1024, max_padding=0.1)

# A GPU is filled by larger batches than a core's cache is. Not measured on a GPU.
GPU_PICTURES: Final = PictureLimits(pictures=16, pixels=16 * 224 * 224)

_FOLDERS: Final = re.compile(r"(?<![\w.])/(?:[^\s\"'/]+/)*(?=[^\s\"'/])")
MAX_WORDS: Final = 400


class Device(StrEnum):
    """What computes; AMD's GPUs are `cuda` too in PyTorch's words."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Numbers(StrEnum):
    """What weights are converted to; `AUTO` keeps what they are, on a GPU."""

    AUTO = "auto"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


def choose_device(args: Mapping[str, str], *, has_gpu: bool) -> Device:
    """The GPU if there is one, else the CPU; raises `LoadFailed` if one is asked for that can't be used."""
    asked = argument(args, "device", Device, Device.AUTO, tuple(Device))
    if asked is Device.CUDA and not has_gpu:
        raise LoadFailed(
            "PyTorch finds no GPU that it can use; check that the pod has the device and its driver and that the image "
            "has PyTorch's build for it, or compute on the CPU with the engine argument device=cpu"
        )
    return Device.CUDA if has_gpu and asked is not Device.CPU else Device.CPU


def choose_numbers(args: Mapping[str, str], device: Device) -> Numbers:
    """float32 on a CPU, where half precision is slower; on a GPU what the weights are."""
    asked = argument(args, "dtype", Numbers, Numbers.AUTO, tuple(Numbers))
    assert asked is not None
    return Numbers.FLOAT32 if asked is Numbers.AUTO and device is Device.CPU else asked


def check_files(model: DetectedModel) -> None:
    """Raise `LoadFailed` for weights that transformers would not find, or would take others in place of."""
    pattern = _WEIGHTS_NAMES[model.format]
    strange = [path.name for path in model.weights if not pattern.fullmatch(path.name)]
    if strange:
        raise LoadFailed(
            f"the weights are called {strange[0]}, and transformers looks for model.safetensors or pytorch_model.bin "
            "and their numbered shards; give them that name"
        )


def check_config(config: Mapping[str, object]) -> None:
    """Raise `LoadFailed` for what config.json asks for that is not loaded here."""
    quantization = config.get("quantization_config")
    if quantization is not None:
        method = quantization.get("quant_method", "one") if isinstance(quantization, Mapping) else "one"
        raise LoadFailed(
            f"the weights are quantised ({method}), and the engine Torch loads weights as they were trained; take the "
            "model as it was before, or as ONNX or GGUF"
        )


def check_complete(missing: Iterable[str], task: Task) -> None:
    """Raise `LoadFailed` if weights that the task needs are in no file: transformers would fill them with chance."""
    not_needed = _NOT_NEEDED.get(task)
    needed = sorted(name for name in missing if not_needed is None or not not_needed.fullmatch(name))
    if needed:
        more = f" and {len(needed) - MAX_NAMED} more" if len(needed) > MAX_NAMED else ""
        raise LoadFailed(
            f"the files have no weights {', '.join(needed[:MAX_NAMED])}{more}, which the task {task} needs; serve the "
            "model with the task that it was trained for, or fetch it again"
        )


def check_sizes(mismatched: Iterable[str]) -> None:
    """Raise `LoadFailed` if weights are not of the sizes that config.json states: transformers would make up others."""
    names = sorted(mismatched)
    if names:
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        raise LoadFailed(
            f"the weights {', '.join(names[:MAX_NAMED])}{more} have other sizes than config.json says; put the "
            "config.json of this very model beside them"
        )


def needs_code(model_type: object, known: Collection[str], *, auto_map: bool, trusted: bool) -> bool:
    """Whether the model is built by Python of its own. Raises `LoadFailed` if that may not run, or there is none."""
    if model_type in known:
        return auto_map and trusted
    if not auto_map:
        named = f"the architecture {model_type!r}" if model_type else "no architecture"
        raise LoadFailed(
            f"config.json names {named}, which this version of transformers does not have; bring it as ONNX"
        )
    if not trusted:
        raise LoadFailed(
            f"the architecture {model_type!r} is Python that lies beside the weights (auto_map), which is not run; set "
            "`spec.trust.remoteCode` if you know who wrote it, or bring the model as ONNX"
        )
    return True


def plain_words(error: BaseException) -> str:
    """The library's words on one line, without folders of this machine."""
    words = " ".join(_FOLDERS.sub("", str(error)).split()).rstrip(".")
    return words[:MAX_WORDS] or type(error).__name__
