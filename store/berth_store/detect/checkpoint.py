"""What a folder as transformers writes it says of its weights, whatever their format: `describe`.

The task is that of the class in `config.json`.
"""

from pathlib import Path

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.classifier import classifier_settings
from berth_store.detect.folder import ModelFolder
from berth_store.detect.judged import judged_template
from berth_store.detect.kv_cache import kv_bytes_per_token
from berth_store.detect.model import DetectedModel
from berth_store.detect.picture import PictureInput, read_picture_settings
from berth_store.detect.sentence import embedding_settings, is_cross_encoder, is_sentence_model
from berth_store.detect.tasks import CLASSIFIER_TASKS, GENERATIVE_TASKS, task_of_class
from berth_store.detect.wish import Wish, ask_task

LIKELY_TASKS = (Task.CHAT, Task.COMPLETION, Task.EMBEDDING, Task.RERANK, Task.TEXT_CLASSIFICATION)
# What all such models call their pictures. Pictures may have any size here; the weights are asked when they are loaded.
_PIXELS = PictureInput("pixel_values", width=None, height=None)
_PICTURE_TASKS = frozenset({Task.IMAGE_CLASSIFICATION, Task.OBJECT_DETECTION})
_PARTS = {
    "adapter_config.json": ("an adapter (LoRA) for another model", "name that model, and this one in `spec.adapters`"),
    "model_index.json": ("a pipeline of several models (diffusers), which no engine here runs", "name a single model"),
}


def refuse_parts(folder: ModelFolder) -> None:
    """Raise `UnsupportedModel` for a folder that is no model by itself."""
    for name, (what, remedy) in _PARTS.items():
        if folder.file(name):
            raise UnsupportedModel(f"{folder.root} holds {what}, as its {name} says; {remedy}")


def describe(
    folder: ModelFolder,
    weights: tuple[Path, ...],
    wish: Wish,
    *,
    form: Format,
    size_bytes: int,
    parameters: int | None = None,
    dtype: str | None = None,
) -> DetectedModel:
    """The model of these weights; `dtype` is what most of its numbers are. Raises `UnsupportedModel`."""
    settings = folder.json("config.json")
    template = judged_template(folder, wish)
    task = wish.task_or(stated_task(folder, chat=template is not None))
    if task is None:
        named = ", ".join(config.texts(settings, "architectures")) or "no class"
        raise ask_task(str(folder.root), f"config.json names {named}, which can do several things", LIKELY_TASKS)
    artifact = Artifact(
        format=form,
        task=task,
        architecture=config.text(settings, "model_type"),
        parameters=parameters,
        quantization=config.text(config.mapping(settings, "quantization_config"), "quant_method") or dtype,
        context_length=config.positions(settings),
        kv_bytes_per_token=kv_bytes_per_token(settings) if task in GENERATIVE_TASKS else None,
        size_bytes=size_bytes,
    )
    return DetectedModel(
        artifact=artifact,
        root=folder.root,
        weights=weights,
        tokenizer=folder.file("tokenizer.json"),
        chat_template=template if task in GENERATIVE_TASKS else None,
        embedding=embedding_settings(folder) if task is Task.EMBEDDING else None,
        classifier=classifier_settings(folder) if task in CLASSIFIER_TASKS else None,
        labels=config.labels(settings),
        picture=read_picture_settings(folder, _PIXELS) if task in _PICTURE_TASKS else None,
        remote_code=config.remote_code(folder, settings),
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
