"""The engine OnnxRuntime: ONNX graphs, and encoders in safetensors, of which it makes the graph.

A table of contents: which engine serves a task is decided here, what it does stands in the neighbours `text_*`.
"""

from berth_runtime.engines.protocol import Engine, EngineSettings, LoadFailed
from berth_runtime.engines.text_engine import TextEngine
from berth_runtime.engines.text_tasks import TEXT_TASKS


def create(settings: EngineSettings) -> Engine:
    """The engine, with nothing loaded; raises `LoadFailed` for a task that it can't do."""
    if settings.task not in TEXT_TASKS:
        raise LoadFailed(
            f"the engine OnnxRuntime can't do the task {settings.task}; set one of {', '.join(TEXT_TASKS)}, or serve "
            f"it with another engine"
        )
    return TextEngine(settings)
