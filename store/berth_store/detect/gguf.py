"""A GGUF model from one file, from the first of its shards, or from a folder: `detect_gguf`, `detect_gguf_folder`."""

import re
from dataclasses import replace
from pathlib import Path

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect.folder import ModelFolder
from berth_store.detect.judged import judged_template
from berth_store.detect.model import DetectedModel, EmbeddingSettings, Pooling
from berth_store.detect.wish import Wish, ask_task, ask_which
from berth_store.headers.folder import is_own_file
from berth_store.headers.gguf import MAX_KEPT_STRING_BYTES, GgufHeader, read_gguf
from berth_store.headers.gguf_types import PoolingType

# The engine finds the other shards by this name, so a shard with another name can't be loaded.
_SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
TEMPLATE_KEY = "tokenizer.chat_template"
MAX_SHARDS = 1024
MAX_MODELS = 64
# In all shards together; the largest models have some thousands.
MAX_TENSORS = 1 << 17
EMBEDDING_ARCHITECTURES = frozenset(
    {
        "bert",
        "modern-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "neo-bert",
        "jina-bert-v2",
        "jina-bert-v3",
        "eurobert",
        "gemma-embedding",
        "llama-embed",
        "t5encoder",
    }
)
RERANKER_LABELS = ("yes", "no")
_POOLINGS = {PoolingType.MEAN: Pooling.MEAN, PoolingType.CLS: Pooling.CLS, PoolingType.LAST: Pooling.LAST}
# Files that are GGUF and yet no model of their own: what they are, and what to do.
_PARTS = {
    "adapter": ("an adapter (LoRA) for another model", "name that model, and this one in `spec.adapters`"),
    "imatrix": ("an importance matrix, made for quantizing", "name the model that was quantized with it"),
    "mmproj": ("a multimodal projector for another model", "put it beside its model and name the folder"),
}


def detect_gguf(path: Path, wish: Wish) -> DetectedModel:
    """The model in the file at `path`, with its shards if it is one of several."""
    header = read_gguf(path)
    _refuse_part(path, header)
    shards = _shards(path, header)
    headers = _read_shards(shards)
    _check_shards(shards, headers)
    return _model(path.parent, shards, headers, wish)


def detect_gguf_folder(folder: ModelFolder, files: list[Path], wish: Wish) -> DetectedModel:
    """The one model among the folder's GGUF `files`, with the projector and the chat template that lie beside it."""
    models, projectors, adapters = _sorted_out(files)
    if len(models) != 1:
        names = [path.name for path in models or files]
        what = f"{len(models)} GGUF models" if models else "GGUF files, none of them a model of its own"
        raise ask_which(str(folder.root), what, names, "name the file that is meant in place of the folder")
    beside = judged_template(folder, wish)
    # What lies beside the weights takes the place of what is in them, so that alone is judged.
    found = detect_gguf(models[0], replace(wish, own_template=True) if beside else wish)
    task = found.task
    if beside and wish.task is Task.AUTO and task is Task.COMPLETION:
        task = Task.CHAT
    return DetectedModel(
        artifact=found.artifact.model_copy(update={"task": task}),
        root=folder.root,
        weights=found.weights,
        chat_template=beside or found.chat_template,
        embedding=found.embedding,
        labels=found.labels,
        projector=_projector(folder, projectors),
        notes=tuple(f"the adapter {path.name} is served where spec.adapters names it" for path in adapters[:3]),
    )


def _sorted_out(files: list[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """The first file of each model, the projectors, and the adapters."""
    models: list[Path] = []
    projectors: list[Path] = []
    adapters: list[Path] = []
    for path in files:
        shard = _SHARD_NAME.fullmatch(path.name)
        if shard and int(shard["number"]) > 1:
            continue
        if len(models) >= MAX_MODELS:
            break
        header = read_gguf(path)
        if _is_projector(header):
            projectors.append(path)
        elif header.kind == "adapter":
            adapters.append(path)
        elif header.kind not in _PARTS:
            models.append(path)
    if not models and not projectors:
        # Only later shards are here; reading one says which is missing.
        models = [path for path in files if _SHARD_NAME.fullmatch(path.name)][:1]
    return models, projectors, adapters


def _projector(folder: ModelFolder, projectors: list[Path]) -> Path | None:
    if len(projectors) > 1:
        names = [path.name for path in projectors]
        raise ask_which(str(folder.root), "several projectors", names, "leave the one that is meant in the folder")
    return projectors[0] if projectors else None


def _is_projector(header: GgufHeader) -> bool:
    return header.kind == "mmproj" or header.architecture == "clip"


def _refuse_part(path: Path, header: GgufHeader) -> None:
    kind = "mmproj" if _is_projector(header) else header.kind
    if kind in _PARTS:
        what, remedy = _PARTS[kind]
        raise UnsupportedModel(f"{path.name} is {what}, and no model of its own; {remedy}")


def _shards(path: Path, header: GgufHeader) -> list[Path]:
    """All files of the model, in order."""
    count = header.split_count
    if count == 1:
        return [path]
    match = _SHARD_NAME.fullmatch(path.name)
    if match is None or int(match["count"]) != count or count > MAX_SHARDS:
        raise UnsupportedModel(
            f"{path.name} is file {header.split_number + 1:,} of {count:,} of a split model, and its name does not say "
            f"so; name the files <model>-00001-of-{min(count, 99_999):05}.gguf and so on, as llama.cpp writes them"
        )
    shards = [path.with_name(f"{match['stem']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    missing = [shard.name for shard in shards if not is_own_file(path.parent, shard)]
    if missing:
        raise ask_which(str(path.parent), f"a split model without {len(missing)} of its files", missing, "fetch them")
    return shards


def _read_shards(shards: list[Path]) -> list[GgufHeader]:
    headers, tensors = [], 0
    for shard in shards:
        headers.append(read_gguf(shard))
        tensors += len(headers[-1].tensors)
        if tensors > MAX_TENSORS:
            raise UnsupportedModel(
                f"{shards[0].name} and its other files hold more than {MAX_TENSORS:,} tensors, and no real model does; "
                "fetch them again from a source that you trust"
            )
    return headers


def _check_shards(shards: list[Path], headers: list[GgufHeader]) -> None:
    names: set[str] = set()
    for number, (shard, header) in enumerate(zip(shards, headers, strict=True)):
        if header.split_count != len(shards) or header.split_number != number:
            raise UnsupportedModel(
                f"{shard.name} says that it is file {header.split_number + 1:,} of {header.split_count:,}, and its "
                f"name says {number + 1:,} of {len(shards):,}; fetch the model again, or name its files rightly"
            )
        twice = next((tensor.name for tensor in header.tensors if tensor.name in names), None)
        if twice is not None:
            raise UnsupportedModel(
                f"{shard.name} repeats the tensor {twice!r} of an earlier shard; fetch the model again"
            )
        names.update(tensor.name for tensor in header.tensors)
    stated = headers[0].split_tensor_count
    if len(shards) > 1 and stated is not None and stated != len(names):
        raise UnsupportedModel(
            f"{shards[0].name} promises {stated:,} tensors in all shards, and they hold {len(names):,}; "
            "the shards are of different models or versions: fetch them again"
        )
    if not names:
        raise UnsupportedModel(f"{shards[0].name} holds no weights, only a vocabulary; fetch the whole model")


def _model(root: Path, shards: list[Path], headers: list[GgufHeader], wish: Wish) -> DetectedModel:
    first = headers[0]
    if first.architecture is None:
        raise UnsupportedModel(
            f"{shards[0].name} does not state `general.architecture`, so no engine can load it; fetch a whole model"
        )
    task = _task(shards[0], first, wish)
    return DetectedModel(
        artifact=Artifact(
            format=Format.GGUF,
            task=task,
            architecture=first.architecture,
            parameters=sum(header.parameters for header in headers),
            quantization=first.quantization or next((h.quantization for h in headers if h.tensors), None),
            context_length=first.context_length or None,
            size_bytes=sum(header.file_bytes for header in headers),
        ),
        root=root,
        weights=tuple(shards),
        chat_template=_template(shards[0], first, wish),
        embedding=_embedding(first) if task is Task.EMBEDDING else None,
        labels=first.classifier_labels,
    )


def _template(path: Path, header: GgufHeader, wish: Wish) -> str | None:
    """The template for chats. llama.cpp may take another of the file's, so all are judged."""
    if header.template_is_too_long and not wish.own_template:
        raise UnsupportedModel(
            f"{path.name} has a chat template of more than {MAX_KEPT_STRING_BYTES:,} bytes, and no real one has; fetch "
            "the model again from a source that you trust"
        )
    named = [value for key, value in header.metadata.items() if key.startswith(TEMPLATE_KEY)]
    others = [value for value in named if isinstance(value, str)]
    return wish.template(header.chat_template, path.name, others=others)


def _task(path: Path, header: GgufHeader, wish: Wish) -> Task:
    task = wish.task_or(_stated_task(header))
    if task is None:
        why = f"its architecture {header.architecture!r} sees the whole text at once, and no pooling is stated"
        raise ask_task(path.name, why, (Task.EMBEDDING, Task.CHAT, Task.COMPLETION))
    return task


def _stated_task(header: GgufHeader) -> Task | None:
    pooling = header.pooling_type
    if pooling is PoolingType.RANK or (pooling is None and header.head_classes):
        return _task_of_head(header)
    if pooling in _POOLINGS or header.architecture in EMBEDDING_ARCHITECTURES:
        return Task.EMBEDDING
    if header.causal is False:
        return None
    return Task.CHAT if header.chat_template else Task.COMPLETION


def _task_of_head(header: GgufHeader) -> Task:
    """A head with one class scores. One with two may too: some rerankers answer yes or no, and have a prompt for it."""
    if header.rerank_template or tuple(label.lower() for label in header.classifier_labels) == RERANKER_LABELS:
        return Task.RERANK
    classes = len(header.classifier_labels) or header.head_classes or 1
    return Task.TEXT_CLASSIFICATION if classes > 1 else Task.RERANK


def _embedding(header: GgufHeader) -> EmbeddingSettings:
    """A GGUF file does not say whether vectors are to be normalised; llama.cpp's own server always does."""
    pooling = _POOLINGS.get(header.pooling_type) if header.pooling_type is not None else None
    return EmbeddingSettings(
        pooling=pooling,
        normalize=True,
        max_sequence_length=header.context_length or None,
        dimensions=header.embedding_length or None,
    )
