"""What an engine for texts is started with: the artifact's settings, with the user's own words before them. Pure.

Called by `berth_runtime.engines.text_engine` and the tasks; whatever can't be right is a `LoadFailed` that says so.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from berth_api.artifact import Format, Task
from berth_runtime.engines.engine_arguments import Library, argument, flag, one_of
from berth_runtime.engines.onnx_providers import GPU, PROVIDERS
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_runtime.engines.text_shape import OutputShape
from berth_runtime.engines.text_window import BatchLimits
from berth_store.detect import EmbeddingSettings, Pooling

INT8: Final = "int8"
ARGUMENTS: Final[Mapping[Task, frozenset[str]]] = {
    Task.EMBEDDING: frozenset({"normalize", "pooling", "truncate"}),
    Task.RERANK: frozenset({"truncate"}),
    Task.TEXT_CLASSIFICATION: frozenset({"truncate"}),
    Task.TOKEN_CLASSIFICATION: frozenset({"aggregation", "truncate"}),
}

# The longest sequence where neither the artifact nor the user says one: what BERT was trained with.
UNSTATED_MAX_TOKENS: Final = 512

# Threads that keep a GPU busy: one computes while the other pads the next batch and answers the last.
GPU_THREADS: Final = 2

# A GPU is filled by larger batches than a core's cache is. Not measured on a GPU.
GPU_LIMITS: Final = BatchLimits(max_sequences=128, max_tokens=8192, max_padding=0.25)


def check_arguments(args: Mapping[str, str], task: Task, library: Library) -> None:
    """Raise `LoadFailed` for an argument that neither the task nor the library takes."""
    library.check(args, task, ARGUMENTS[task])


def embedding_settings(found: EmbeddingSettings, args: Mapping[str, str]) -> EmbeddingSettings:
    """What detection found, with the user's engine arguments before it."""
    return replace(
        found,
        pooling=argument(args, "pooling", Pooling, found.pooling, tuple(Pooling)),
        normalize=flag(args, "normalize", default=found.normalize),
        output=args.get("output", found.output),
    )


def provider(args: Mapping[str, str]) -> str | None:
    """The word for what computes; None is the CPU."""
    return argument(args, "provider", one_of((GPU, *PROVIDERS)), None, (GPU, *PROVIDERS))


def quantizes(settings: EngineSettings) -> bool:
    """Whether the matrices are to be computed with in int8; raises `LoadFailed` where they can't be."""
    args = settings.args
    if argument(args, "quantize", one_of((INT8,)), None, (INT8,)) is None:
        return False
    if settings.model.format is not Format.SAFETENSORS:
        raise LoadFailed(
            f"the engine argument quantize={INT8} is for safetensors, of which the graph is made here, and this model "
            f"is {settings.model.format}; bring a graph that was quantised when it was exported, or leave it out"
        )
    word = provider(args)
    if word not in (None, "cpu"):
        raise LoadFailed(f"the engine argument quantize={INT8} is for the CPU; leave out it or provider={word}")
    return True


def width(shape: OutputShape, embedding: EmbeddingSettings) -> int:
    """The length of a vector; raises `LoadFailed` if the graph and the artifact's configuration differ."""
    if embedding.dimensions and shape.width != embedding.dimensions:
        raise LoadFailed(
            f"the graph's output has {shape.width} dimensions, but the artifact's configuration says "
            f"{embedding.dimensions}; export the model again"
        )
    return shape.width


def class_names(shape: OutputShape, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the classes; those that config.json does not name are numbered, as transformers does."""
    if not shape.width:
        raise LoadFailed(f"the graph's output {shape.output} has no classes; export the model again")
    if names and len(names) != shape.width:
        raise LoadFailed(
            f"the graph's output {shape.output} has {shape.width} classes, but config.json names {len(names)}; the two "
            f"are not of one model: fetch both again"
        )
    return names or tuple(f"LABEL_{index}" for index in range(shape.width))


def max_tokens(settings: EngineSettings, shape: OutputShape, stated: int | None) -> int:
    """The longest sequence: the user's word, within what the model has positions for; else the artifact's own."""
    hard = [limit for limit in (settings.model.artifact.context_length, shape.fixed_length) if limit]
    wanted = settings.context_length
    if wanted and hard and wanted > min(hard):
        raise LoadFailed(f"a context length of {wanted} was asked for, but this model takes {min(hard)} tokens at most")
    return wanted or min([*hard, stated or UNSTATED_MAX_TOKENS])


def batch_limits(shape: OutputShape, *, gpu: bool = False) -> BatchLimits:
    """How batches are built: the measured default, narrower where the graph can't take it."""
    limits = GPU_LIMITS if gpu else BatchLimits()
    return replace(
        limits,
        max_sequences=shape.fixed_rows or limits.max_sequences,
        max_padding=limits.max_padding if shape.masks else 0.0,
    )
