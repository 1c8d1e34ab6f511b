"""The engine LiteRT: TFLite models that look at pictures, or make vectors of texts.

A table of contents: which engine serves a task is decided here, what it does stands in the neighbours `litert_*`;
tokens, batches and answers of texts are those of the engine OnnxRuntime.
"""

from typing import Final

from berth_api.artifact import EngineType, Task
from berth_runtime.engines.engine_arguments import Library
from berth_runtime.engines.litert_pictures import OPERATIONS, LitertPictures
from berth_runtime.engines.litert_texts import LitertTexts
from berth_runtime.engines.protocol import Engine, EngineSettings, LoadFailed
from berth_runtime.engines.text_engine import TextEngine

TEXTS: Final = Library(EngineType.LITERT, frozenset({"output"}), runs_graphs=True)


def create(settings: EngineSettings) -> Engine:
    """The engine, with nothing loaded; raises `LoadFailed` for a task that it can't do."""
    if settings.task in OPERATIONS:
        return LitertPictures(settings)
    if settings.task is not Task.EMBEDDING:
        able = ", ".join((*OPERATIONS, Task.EMBEDDING))
        raise LoadFailed(f"the engine LiteRT does not do the task {settings.task}; it does {able}")
    return TextEngine(settings, TEXTS, LitertTexts)
