"""Graphs for serving an encoder from its safetensors, without a copy of the weights: `build_served_graph`.

The graph is a few kilobytes and names the stretches of the model's own files in which the weights lie; ONNX Runtime
maps them. Nothing is written, and the model's folder may be read-only. `berth_runtime.engines.text_tasks` calls this.
"""

from dataclasses import dataclass
from pathlib import Path

from berth_api.artifact import Task
from berth_api.errors import UnsupportedModel
from berth_store.convert.encoder_config import parse_encoder_config
from berth_store.convert.encoder_graph import build_encoder_graph
from berth_store.convert.encoder_heads import CLASSIFIERS, vectors_head
from berth_store.convert.tensors import EncoderTensors, QuantizedWeights, StoredWeights
from berth_store.detect import DetectedModel, Pooling
from berth_store.detect.folder import ModelFolder
from berth_store.detect.sentence import read_embedding, refuse_unsupported_modules


@dataclass(frozen=True)
class ServedGraph:
    """An ONNX file's content, and the folder from which it names the files with its weights."""

    content: bytes
    folder: Path


def build_served_graph(
    model: DetectedModel, task: Task, *, pooling: Pooling | None, normalize: bool, int8: bool = False
) -> ServedGraph:
    """The graph of a safetensors `model` for `task`; `pooling` and `normalize` matter for embeddings alone.

    With `int8` the matrices are copied into the graph in a quarter of their bytes, and the rest stays in its files.

    Raises `UnsupportedModel` that names what is in the way.
    """
    folder = ModelFolder(model.root)
    config = parse_encoder_config(folder.json("config.json"))
    if task is Task.EMBEDDING:
        refuse_unsupported_modules(read_embedding(folder), "the encoder")
        head = vectors_head(pooling=pooling, normalize=normalize)
    elif task in CLASSIFIERS:
        head = CLASSIFIERS[task]
    else:
        raise UnsupportedModel(f"an encoder can't do the task {task}; set one of Embedding, {', '.join(CLASSIFIERS)}")
    tensors = EncoderTensors(model.weights, prefix=config.family.names.prefix)
    weights = (QuantizedWeights if int8 else StoredWeights)(tensors, model.weights)
    return ServedGraph(b"".join(build_encoder_graph(config, weights, head)), weights.folder)
