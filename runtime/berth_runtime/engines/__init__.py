"""The table of engines. A module is imported only inside a worker process, by `create_engine`."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from berth_api.artifact import EngineType
from berth_runtime.engines.protocol import Engine, EngineSettings

ENGINES: Mapping[EngineType, str] = {
    EngineType.LLAMA_CPP: "berth_runtime.engines.llamacpp",
    EngineType.ONNX_RUNTIME: "berth_runtime.engines.onnxruntime",
    EngineType.LITERT: "berth_runtime.engines.litert",
    EngineType.TORCH: "berth_runtime.engines.torch",
}


def create_engine(module: str, settings: EngineSettings) -> Engine:
    """Import an engine's module, which may load native code, and create the engine without loading the model."""
    create = cast("Callable[[EngineSettings], Engine]", import_module(module).create)
    return create(settings)
