"""An adapter (LoRA) from its file or folder: `detect_adapter`. GGUF as llama.cpp converts it, safetensors as PEFT does.

Whether it fits a model is the engine's to say, which has both; what no engine here can serve is refused by its header.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.kinds import Kind, refusal, sniff
from berth_store.detect.model import DetectedAdapter
from berth_store.detect.wish import ask_which
from berth_store.headers.bounded_json import Json
from berth_store.headers.gguf import read_gguf
from berth_store.headers.gguf_header import GgufHeader
from berth_store.headers.safetensors import SafetensorsHeader, read_safetensors

SETTINGS_NAME: Final = "adapter_config.json"
WEIGHTS_NAME: Final = "adapter_model.safetensors"
MAX_RANK: Final = 512
MAX_FILES: Final = 64
_A, _B = ".lora_a", ".lora_b"
_REMEDY_GGUF: Final = "convert it with llama.cpp's convert_lora_to_gguf.py"
_REMEDY_PEFT: Final = f"name the folder of a LoRA as PEFT writes it, with {SETTINGS_NAME} and {WEIGHTS_NAME}"


def detect_adapter(path: Path) -> DetectedAdapter:
    """The adapter at `path`, read in this process. `UnsupportedModel` says what is wrong, and what to do.

    In a folder with a model and one adapter, as some artifacts have both, the adapter is meant.
    """
    if not str(path).isprintable():
        raise UnsupportedModel(f"{str(path)!a} has characters in its name that can't be printed; rename it")
    path = Path(os.path.abspath(path))
    if path.is_dir():
        return _detect_folder(ModelFolder(path))
    kind = sniff(path)
    if kind is Kind.GGUF:
        return _gguf(path, read_gguf(path))
    if kind is Kind.SAFETENSORS:
        return _peft(ModelFolder(path.parent), path)
    raise refusal(path, kind)


def _detect_folder(folder: ModelFolder) -> DetectedAdapter:
    found = [path for path in folder.files if sniff(path) is Kind.GGUF]
    if len(found) > MAX_FILES:
        raise UnsupportedModel(f"{folder.root} holds {len(found)} GGUF files; name the adapter's own")
    headers = {path: read_gguf(path) for path in found}
    adapters = [path for path, header in headers.items() if header.kind == "adapter"]
    has_peft = folder.file(SETTINGS_NAME) is not None
    if has_peft and not adapters:
        return _peft(folder, _peft_weights(folder))
    if len(adapters) == 1 and not has_peft:
        return _gguf(adapters[0], headers[adapters[0]])
    if adapters:
        names = [path.name for path in adapters] + ([SETTINGS_NAME] if has_peft else [])
        raise ask_which(str(folder.root), "several adapters", names, "name the file that is meant")
    raise UnsupportedModel(
        f"{folder.root} holds no adapter: no GGUF in it is one by its `general.type`, and there is no {SETTINGS_NAME}; "
        "name a LoRA in GGUF, or one as PEFT writes it"
    )


def _gguf(path: Path, header: GgufHeader) -> DetectedAdapter:
    if header.kind != "adapter" or header.metadata.get("adapter.type") != "lora":
        raise UnsupportedModel(f"{path.name} is no LoRA in GGUF; {_REMEDY_GGUF}")
    ranks = [tensor.shape[1] for tensor in header.tensors if tensor.name.endswith(_A) and len(tensor.shape) > 1]
    pairs = [
        {tensor.name.removesuffix(end) for tensor in header.tensors if tensor.name.endswith(end)} for end in (_A, _B)
    ]
    if pairs[0] != pairs[1] or not pairs[0]:
        raise UnsupportedModel(f"{path.name} has not both matrices of each weight that it changes; fetch it again")
    return DetectedAdapter(
        artifact=Artifact(
            format=Format.GGUF, task=Task.AUTO, architecture=header.architecture, size_bytes=header.file_bytes
        ),
        root=path.parent,
        weights=(path,),
        rank=_checked_rank(path.name, max(ranks, default=0)),
    )


def _peft(folder: ModelFolder, weights: Path) -> DetectedAdapter:
    if folder.file(SETTINGS_NAME) is None:
        raise UnsupportedModel(f"beside {weights.name} there is no {SETTINGS_NAME}; {_REMEDY_PEFT}")
    settings = folder.json(SETTINGS_NAME)
    _refuse_unserved(settings)
    header = read_safetensors(weights)
    ranks = [tensor.shape[0] for tensor in header.tensors if "lora_A" in tensor.name and len(tensor.shape) > 1]
    if not ranks or not any("lora_B" in tensor.name for tensor in header.tensors):
        raise UnsupportedModel(f"{weights.name} holds no matrices of a LoRA; {_REMEDY_PEFT}")
    return DetectedAdapter(
        artifact=_peft_artifact(header),
        root=folder.root,
        weights=(weights,),
        rank=_checked_rank(SETTINGS_NAME, max([*ranks, config.count(settings, "r") or 0])),
    )


def _peft_artifact(header: SafetensorsHeader) -> Artifact:
    # PEFT names the model that was trained, by its address, and not what it is.
    return Artifact(format=Format.SAFETENSORS, task=Task.AUTO, size_bytes=header.file_bytes)


def _peft_weights(folder: ModelFolder) -> Path:
    found = folder.file(WEIGHTS_NAME)
    if found is not None:
        return found
    pickles = [path for path in folder.files if sniff(path) is Kind.PICKLE]
    if pickles:
        raise refusal(pickles[0], Kind.PICKLE)
    raise UnsupportedModel(f"{folder.root} has an {SETTINGS_NAME} and no {WEIGHTS_NAME}; {_REMEDY_PEFT}")


def _refuse_unserved(settings: Mapping[str, Json]) -> None:
    """What PEFT can train and vLLM, which alone reads such files, can't serve."""
    kind = config.text(settings, "peft_type")
    if kind != "LORA":
        raise UnsupportedModel(f"{SETTINGS_NAME} says that it is {kind or 'of no kind'}, and only LORA is served")
    unserved = {
        "use_dora": config.flag(settings, "use_dora"),
        "modules_to_save": bool(settings.get("modules_to_save")),
        "bias": (config.text(settings, "bias") or "none") != "none",
    }
    wrong = [name for name, is_set in unserved.items() if is_set]
    if wrong:
        raise UnsupportedModel(
            f"{SETTINGS_NAME} sets {', '.join(wrong)}, which no engine here serves; merge the adapter into its model, "
            "and serve that"
        )


def _checked_rank(name: str, rank: int) -> int:
    if not 0 < rank <= MAX_RANK:
        raise UnsupportedModel(f"{name} has the rank {rank:,}, and adapters have 1 to {MAX_RANK}")
    return rank
