"""A safetensors model from its folder: `detect_safetensors`. Its task is that of the class in `config.json`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.classifier import classifier_settings
from berth_store.detect.folder import ModelFolder
from berth_store.detect.judged import judged_template
from berth_store.detect.kv_cache import kv_bytes_per_token
from berth_store.detect.model import DetectedModel
from berth_store.detect.sentence import embedding_settings, is_cross_encoder, is_sentence_model
from berth_store.detect.tasks import CLASSIFIER_TASKS, GENERATIVE_TASKS, task_of_class
from berth_store.detect.wish import Wish, ask_task, ask_which
from berth_store.headers.bounded_json import Json
from berth_store.headers.safetensors import SafetensorsHeader, SafetensorsIndex, read_index, read_safetensors

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
# In all shards together; the largest mixtures of experts have some 150,000.
MAX_TENSORS = 1 << 19
LIKELY_TASKS = (Task.CHAT, Task.COMPLETION, Task.EMBEDDING, Task.RERANK, Task.TEXT_CLASSIFICATION)
_PARTS = {
    "adapter_config.json": ("an adapter (LoRA) for another model", "name that model, and this one in `spec.adapters`"),
    "model_index.json": ("a pipeline of several models (diffusers), which no engine here runs", "name a single model"),
}


def detect_safetensors(folder: ModelFolder, files: list[Path], wish: Wish) -> DetectedModel:
    """The model whose weights are among the folder's safetensors `files`."""
    weights, headers = _weights(folder, files)
    settings = folder.json("config.json")
    template = judged_template(folder, wish)
    task = wish.task_or(stated_task(folder, chat=template is not None))
    if task is None:
        named = ", ".join(config.texts(settings, "architectures")) or "no class"
        raise ask_task(str(folder.root), f"config.json names {named}, which can do several things", LIKELY_TASKS)
    return DetectedModel(
        artifact=_artifact(settings, headers, task),
        root=folder.root,
        weights=weights,
        tokenizer=folder.file("tokenizer.json"),
        chat_template=template if task in GENERATIVE_TASKS else None,
        embedding=embedding_settings(folder) if task is Task.EMBEDDING else None,
        classifier=classifier_settings(folder) if task in CLASSIFIER_TASKS else None,
        labels=config.labels(settings),
        remote_code=config.remote_code(folder, settings),
    )


def _weights(folder: ModelFolder, files: list[Path]) -> tuple[tuple[Path, ...], list[SafetensorsHeader]]:
    for name, (what, remedy) in _PARTS.items():
        if folder.file(name):
            raise UnsupportedModel(f"{folder.root} holds {what}, as its {name} says; {remedy}")
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


def stated_task(folder: ModelFolder, *, chat: bool = False) -> Task | None:
    """What the folder says that its model does; None where it does not. `chat` is whether there is a chat template."""
    if is_sentence_model(folder):
        return Task.EMBEDDING
    settings = folder.json("config.json")
    return task_of_class(
        next(iter(config.texts(settings, "architectures")), None),
        label_count=len(config.labels(settings)),
        chat=chat,
        compares_pairs=is_cross_encoder(folder),
    )


def _artifact(settings: Mapping[str, Json], headers: list[SafetensorsHeader], task: Task) -> Artifact:
    dtypes: Counter[str] = Counter()
    for header in headers:
        dtypes.update(dict(header.dtypes))
    stated = config.text(config.mapping(settings, "quantization_config"), "quant_method")
    return Artifact(
        format=Format.SAFETENSORS,
        task=task,
        architecture=config.text(settings, "model_type"),
        parameters=sum(dtypes.values()),
        quantization=stated or (dtypes.most_common(1)[0][0] if dtypes else None),
        context_length=config.positions(settings),
        kv_bytes_per_token=kv_bytes_per_token(settings) if task in GENERATIVE_TASKS else None,
        size_bytes=sum(header.file_bytes for header in headers),
    )
