"""The engine Torch: models of transformers' architectures on PyTorch, for what no other engine serves.

A table of contents: what is loaded, and how safely, stands in `torch_loading`, how it is run in `torch_models`; tokens,
pictures, batches and answers are those of the engine OnnxRuntime. PyTorch itself is imported by `create` alone, for it
and transformers read the environment when they are.
"""

import os
from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Final

from berth_api.artifact import EngineType
from berth_runtime.engines.engine_arguments import Library
from berth_runtime.engines.protocol import Engine, EngineSettings, LoadFailed
from berth_runtime.engines.text_engine import TextEngine
from berth_runtime.engines.text_tasks import TEXT_TASKS
from berth_runtime.engines.torch_plan import AUTO_CLASSES
from berth_runtime.engines.vision import OPERATIONS, VisionEngine

LIBRARY: Final = Library(EngineType.TORCH, frozenset({"device", "dtype"}))
MODELS: Final = "berth_runtime.engines.torch_models"

# Nothing is fetched or reported: no weights, no code, no kernels from a hub. Whoever calls `torch.load` gets tensors.
ENVIRONMENT: Final[Mapping[str, str]] = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "USE_HUB_KERNELS": "NO",
}
# It would contradict ours, and PyTorch takes none of two that do.
CONTRARY: Final = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def create(settings: EngineSettings) -> Engine:
    """The engine, with nothing loaded; raises `LoadFailed` for a task that it can't do."""
    if settings.task not in AUTO_CLASSES:
        able = ", ".join(AUTO_CLASSES)
        raise LoadFailed(
            f"the engine Torch can't do the task {settings.task}; set one of {able}, or take another engine"
        )
    seal(os.environ)
    models = import_module(MODELS)
    if settings.task in OPERATIONS:
        return VisionEngine(settings, LIBRARY, models.open_pictures)
    assert settings.task in TEXT_TASKS
    return TextEngine(settings, LIBRARY, models.open_texts)


def seal(environ: MutableMapping[str, str]) -> None:
    """Set what keeps the libraries from the network and from running pickles, whatever is set already."""
    environ.pop(CONTRARY, None)
    environ.update(ENVIRONMENT)
