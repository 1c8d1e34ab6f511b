"""A safetensors model from its folder: `detect_safetensors`. What it is for stands beside it, see `checkpoint`."""

from collections import Counter
from pathlib import Path

from berth_api.artifact import Format
from berth_api.errors import UnsupportedModel
from berth_store.detect.checkpoint import describe, refuse_parts
from berth_store.detect.folder import ModelFolder
from berth_store.detect.model import DetectedModel
from berth_store.detect.wish import Wish, ask_which
from berth_store.headers.safetensors import SafetensorsHeader, SafetensorsIndex, read_index, read_safetensors

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
# In all shards together; the largest mixtures of experts have some 150,000.
MAX_TENSORS = 1 << 19


def detect_safetensors(folder: ModelFolder, files: list[Path], wish: Wish) -> DetectedModel:
    """The model whose weights are among the folder's safetensors `files`."""
    weights, headers = _weights(folder, files)
    dtypes: Counter[str] = Counter()
    for header in headers:
        dtypes.update(dict(header.dtypes))
    return describe(
        folder,
        weights,
        wish,
        form=Format.SAFETENSORS,
        parameters=sum(dtypes.values()),
        dtype=dtypes.most_common(1)[0][0] if dtypes else None,
        size_bytes=sum(header.file_bytes for header in headers),
    )


def _weights(folder: ModelFolder, files: list[Path]) -> tuple[tuple[Path, ...], list[SafetensorsHeader]]:
    refuse_parts(folder)
    index_path = folder.file(INDEX_NAME)
    named = [path for path in files if path.name == WEIGHTS_NAME]
    if index_path is not None and not named:
        index = read_index(index_path)
        headers = _read_shards(index)
        _check_index(index, headers)
        return index.shards, headers
    if not named and len(files) > 1:
        names = [path.name for path in files]
        remedy = f"name the file that is meant in place of the folder, or add {INDEX_NAME} if they are shards"
        raise ask_which(str(folder.root), "several safetensors files and no index", names, remedy)
    weights = (named or files)[:1]
    return tuple(weights), [read_safetensors(path) for path in weights]


def _read_shards(index: SafetensorsIndex) -> list[SafetensorsHeader]:
    headers, tensors = [], 0
    for shard in index.shards:
        headers.append(read_safetensors(shard))
        tensors += len(headers[-1].tensors)
        if tensors > MAX_TENSORS:
            raise UnsupportedModel(
                f"the shards of {INDEX_NAME} hold more than {MAX_TENSORS:,} tensors, and no real model does; "
                "fetch them again from a source that you trust"
            )
    return headers


def _check_index(index: SafetensorsIndex, headers: list[SafetensorsHeader]) -> None:
    held = {
        tensor.name: shard for shard, header in zip(index.shards, headers, strict=True) for tensor in header.tensors
    }
    for tensor, shard in index.shard_of.items():
        if held.get(tensor) != shard:
            raise UnsupportedModel(
                f"{INDEX_NAME} says that the tensor {tensor!r} is in {shard.name}, and it is not; fetch both again"
            )
