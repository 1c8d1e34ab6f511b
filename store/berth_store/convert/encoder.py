"""An encoder's folder of safetensors becomes a folder with `model.onnx`, to be packaged: `convert_encoder`.

`python -m examples.quickstart.encoder_to_onnx` and the quick start call it. The same input gives the same bytes, so
that a repeated conversion makes the same artifact.
"""

import json
import os
import shutil
from pathlib import Path

from berth_api.artifact import Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.convert.encoder_config import parse_encoder_config
from berth_store.convert.encoder_graph import Head, build_encoder_graph
from berth_store.convert.encoder_heads import CLASSIFIERS, vectors_head
from berth_store.convert.onnx_messages import Pieces
from berth_store.convert.tensors import EmbeddedWeights, EncoderTensors
from berth_store.detect import Pooling, detect
from berth_store.detect.checkpoint import stated_task
from berth_store.detect.folder import ModelFolder
from berth_store.detect.sentence import SentenceModel, read_embedding, refuse_unsupported_modules

GRAPH_NAME = "model.onnx"

# Whoever keeps the result of a conversion compares this: it rises when the same input gives other bytes.
CONVERSION = 1

# What goes along, where it exists: the tokenizer, the settings that detection reads, and what people read.
KEPT_NAMES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "config_sentence_transformers.json",
    "LICENSE",
    "README.md",
)
KEPT_PATTERN = "sentence_*_config.json"


def convert_encoder(source: Path, target: Path) -> Path:
    """Convert the folder `source` into the folder `target`, which is made; returns the path of the graph.

    Raises `UnsupportedModel` if the model is no encoder that can be converted, naming what is in the way.
    """
    folder = ModelFolder(source)
    if folder.file("tokenizer.json") is None:
        raise UnsupportedModel(f"{source} has no tokenizer.json; save the tokenizer in its fast form there")
    config = parse_encoder_config(folder.json("config.json"))
    stated = stated_task(folder)
    task = stated if stated is not None and stated in CLASSIFIERS else Task.EMBEDDING
    head = _vectors_head(folder) if task is Task.EMBEDDING else CLASSIFIERS[task]
    found = detect(source, task=task, formats={Format.SAFETENSORS})
    tensors = EncoderTensors(found.weights, prefix=config.family.names.prefix)
    graph = build_encoder_graph(config, EmbeddedWeights(tensors), head)
    target.mkdir(parents=True, exist_ok=True)
    _copy_companions(folder, target)
    return _write(target / GRAPH_NAME, graph)


def _vectors_head(folder: ModelFolder) -> Head:
    sentence = read_embedding(folder)
    refuse_unsupported_modules(sentence, "the encoder")
    return vectors_head(pooling=_pooling(sentence), normalize=sentence is not None and sentence.settings.normalize)


def _pooling(sentence: SentenceModel | None) -> Pooling | None:
    """The pooling to put into the graph; one that leaves a prompt out stays with the engine, which knows the prompt."""
    if sentence is None or not sentence.settings.include_prompt:
        return None
    return sentence.settings.pooling


def _copy_companions(folder: ModelFolder, target: Path) -> None:
    names = [name for name in KEPT_NAMES if folder.file(name)]
    names += sorted(path.name for path in folder.files if path.match(KEPT_PATTERN))
    names += _module_configs(folder)
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder.root / name, target / name)


def _module_configs(folder: ModelFolder) -> list[str]:
    """The settings of each module: `1_Pooling/config.json`. Detection has looked at the paths before."""
    modules = folder.file("modules.json")
    listed = json.loads(modules.read_text()) if modules else [{"path": "1_Pooling"}]
    paths = [f"{module['path']}/config.json" for module in listed if module.get("path")]
    return [path for path in paths if folder.file(path)]


def _write(path: Path, content: Pieces) -> Path:
    """Write at once or not at all: a graph cut short would look like a damaged model."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.writelines(content)
    os.replace(partial, path)
    return path
