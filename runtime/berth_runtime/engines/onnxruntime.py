"""The engine OnnxRuntime: ONNX graphs, and encoders in safetensors, of which it makes the graph.

A table of contents: which engine serves a task is decided here, what it does stands in the neighbours `text_*`,
`vision*` and `decoder_*`.
"""

from typing import Final

from berth_api.artifact import EngineType, Task
from berth_runtime.engines.decoder_engine import DecoderEngine
from berth_runtime.engines.engine_arguments import Library
from berth_runtime.engines.protocol import Engine, EngineSettings, LoadFailed
from berth_runtime.engines.text_engine import TextEngine
from berth_runtime.engines.text_graph import OnnxTexts
from berth_runtime.engines.text_tasks import TEXT_TASKS
from berth_runtime.engines.vision import OPERATIONS, VisionEngine
from berth_runtime.engines.vision_graph import open_graph

TEXTS: Final = Library(EngineType.ONNX_RUNTIME, frozenset({"output", "provider", "quantize"}), runs_graphs=True)
PICTURES: Final = Library(EngineType.ONNX_RUNTIME, frozenset({"provider"}))

WRITING = (Task.CHAT, Task.COMPLETION)


def create(settings: EngineSettings) -> Engine:
    """The engine, with nothing loaded; raises `LoadFailed` for a task that it can't do."""
    if settings.task in OPERATIONS:
        return VisionEngine(settings, PICTURES, open_graph)
    if settings.task in WRITING:
        return DecoderEngine(settings)
    if settings.task not in TEXT_TASKS:
        able = ", ".join((*WRITING, *TEXT_TASKS, *OPERATIONS))
        raise LoadFailed(
            f"the engine OnnxRuntime can't do the task {settings.task}; set one of {able}, or take another engine"
        )
    return TextEngine(settings, TEXTS, OnnxTexts)
