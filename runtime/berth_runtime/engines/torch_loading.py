"""From a folder as transformers writes it to a PyTorch model in memory: `load_model`.

What could run code is off: pickles are read with `weights_only`, classes are transformers' own unless
`spec.trust.remoteCode` is set, and nothing is looked for outside the folder.
"""

import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers.utils.logging import disable_progress_bar

from berth_api.artifact import Format
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_runtime.engines.torch_plan import (
    AUTO_CLASSES,
    check_complete,
    check_config,
    check_files,
    check_sizes,
    choose_device,
    choose_numbers,
    needs_code,
    plain_words,
)

# What building a model of damaged or foreign files raises. Too little memory is told by the process that reads stderr.
_LOAD_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    RuntimeError,
    ImportError,
    SafetensorError,
    pickle.UnpicklingError,
    EOFError,
)


def load_model(settings: EngineSettings) -> torch.nn.Module:
    """The model for the task, on its device, for answering alone; raises `LoadFailed`."""
    model = settings.model
    check_files(model)
    config = _read_config(model.root)
    check_config(config)
    trusted = settings.trust.remote_code
    known = transformers.CONFIG_MAPPING.keys()
    code = needs_code(config.get("model_type"), known, auto_map="auto_map" in config, trusted=trusted)
    device = choose_device(settings.args, has_gpu=torch.cuda.is_available())
    torch.set_num_threads(settings.threads)
    disable_progress_bar()
    auto_class = getattr(transformers, AUTO_CLASSES[settings.task])
    try:
        built, info = auto_class.from_pretrained(
            str(model.root),
            dtype=str(choose_numbers(settings.args, device)),
            ignore_mismatched_sizes=True,  # else it says so without a name; they are looked at below
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=code,
            use_safetensors=model.format is Format.SAFETENSORS,
            weights_only=True,
        )
    except torch.OutOfMemoryError:
        raise
    except _LOAD_ERRORS as error:
        raise LoadFailed(_why(error, model.format)) from error
    check_sizes(str(key[0] if isinstance(key, tuple) else key) for key in info["mismatched_keys"])
    check_complete(info["missing_keys"], settings.task)
    found: torch.nn.Module = built.to(str(device)).eval()
    return found


def _read_config(folder: Path) -> dict[str, Any]:
    """config.json, which detection has read within bounds before."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadFailed(f"config.json can't be read: {plain_words(error)}; put the model's own there") from error
    return found if isinstance(found, dict) else {}


def _why(error: Exception, form: Format) -> str:
    # transformers reports what `torch.load` refuses in several ways, always with its words.
    if form is Format.PYTORCH and "weights_only" in "".join(traceback.format_exception(error)):
        return (
            "the pickle holds more than weights, and what else it holds would have to be run; it was not. Use a "
            "conversion to safetensors, or another source"
        )
    if isinstance(error, ImportError):
        what = plain_words(error).partition(". ")[0]
        return (
            f"the model needs a library that this image lacks: {what}; take a revision without it, or bring it as ONNX"
        )
    return f"transformers can't load the model: {plain_words(error)}; fetch it again, or bring it as ONNX"
