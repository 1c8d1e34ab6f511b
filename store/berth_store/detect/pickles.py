"""A model whose weights are PyTorch's pickles, for whoever trusts them: `detect_pickles`.

No pickle is opened here, so how many parameters there are, and of which kind, is not known. Names are those that
transformers looks for.
"""

from pathlib import Path

from berth_api.artifact import Format
from berth_api.errors import UnsupportedModel
from berth_store.detect.checkpoint import describe, refuse_parts
from berth_store.detect.folder import ModelFolder
from berth_store.detect.model import DetectedModel
from berth_store.detect.wish import Wish
from berth_store.headers.safetensors import read_index

WEIGHTS_NAME = "pytorch_model.bin"
INDEX_NAME = "pytorch_model.bin.index.json"


def detect_pickles(folder: ModelFolder, files: list[Path], wish: Wish) -> DetectedModel:
    """The model whose weights are among the folder's pickles `files`; raises `UnsupportedModel`."""
    refuse_parts(folder)
    weights = _weights(folder, files)
    return describe(folder, weights, wish, form=Format.PYTORCH, size_bytes=sum(path.stat().st_size for path in weights))


def _weights(folder: ModelFolder, files: list[Path]) -> tuple[Path, ...]:
    named = [path for path in files if path.name == WEIGHTS_NAME]
    if named:
        return tuple(named)
    index = folder.file(INDEX_NAME)
    if index is None:
        names = ", ".join(path.name for path in files[:8])
        raise UnsupportedModel(
            f"{folder.root} holds pickles ({names}), and none is {WEIGHTS_NAME}, which models are loaded from; give "
            f"them that name, or add {INDEX_NAME} if they are shards"
        )
    return read_index(index).shards
