"""The engine LiteRT: TFLite models that look at pictures.

A table of contents: which engine serves a task is decided here, what it does stands in the neighbours `litert_*`.
"""

from berth_runtime.engines.litert_pictures import OPERATIONS, LitertPictures
from berth_runtime.engines.protocol import Engine, EngineSettings, LoadFailed


def create(settings: EngineSettings) -> Engine:
    """The engine, with nothing loaded; raises `LoadFailed` for a task that it can't do."""
    if settings.task not in OPERATIONS:
        raise LoadFailed(f"the engine LiteRT does not do the task {settings.task}; it does {', '.join(OPERATIONS)}")
    return LitertPictures(settings)
