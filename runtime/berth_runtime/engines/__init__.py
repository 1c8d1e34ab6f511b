"""The tables of engines: their modules, and what their processes find in the environment.

A module is imported only inside a worker process, by `create_engine`.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from berth_api.artifact import EngineType
from berth_runtime.engines.protocol import Engine, EngineSettings

ENGINES: Mapping[EngineType, str] = {
    EngineType.LLAMA_CPP: "berth_runtime.engines.llamacpp",
    EngineType.ONNX_RUNTIME: "berth_runtime.engines.onnxruntime",
}


# llama.cpp's threads meet at a barrier some 500 times a token, and GNU OpenMP spins there for up to 10 ms. On cores
# that are shared with anything, a thread then spins away the time that its partner waits for: 2 tokens/s were seen
# there, and five times as many with 1,000 rounds (some 30 µs). On idle cores that costs 1 to 2 %, fewer much more.
ENVIRONMENT: Mapping[EngineType, Mapping[str, str]] = {EngineType.LLAMA_CPP: {"GOMP_SPINCOUNT": "1000"}}


def create_engine(module: str, settings: EngineSettings) -> Engine:
    """Import an engine's module, which may load native code, and create the engine without loading the model."""
    create = cast("Callable[[EngineSettings], Engine]", import_module(module).create)
    return create(settings)
