"""What a file or folder is: format, task, weights and settings, from the artifact's own headers.

The runtime, the CLI and packaging call `detect_bounded` for files from elsewhere; `detect` is the same in the caller's
own process.
"""

from berth_store.detect.bounded import detect_adapter_bounded, detect_bounded, detect_either_bounded
from berth_store.detect.detection import detect
from berth_store.detect.model import (
    ClassifierSettings,
    DecoderSettings,
    DetectedAdapter,
    DetectedModel,
    EmbeddingSettings,
    Pooling,
    Problem,
)
from berth_store.detect.picture_settings import PictureSettings

__all__ = [
    "ClassifierSettings",
    "DecoderSettings",
    "DetectedAdapter",
    "DetectedModel",
    "EmbeddingSettings",
    "PictureSettings",
    "Pooling",
    "Problem",
    "detect",
    "detect_adapter_bounded",
    "detect_bounded",
    "detect_either_bounded",
]
