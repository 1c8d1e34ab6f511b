"""What an embedding engine is started with: the artifact's settings, with the user's own words before them. Pure.

Called by `berth_runtime.engines.onnxruntime`; whatever can't be right is a `LoadFailed` that says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from berth_runtime.engines.embedding_graph import GraphShape
from berth_runtime.engines.embedding_window import BatchLimits
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.detect import EmbeddingSettings, Pooling

T = TypeVar("T")

ARGUMENTS: Final = ("normalize", "output", "pooling", "truncate")

# The longest sequence where neither the artifact nor the user says one: what BERT was trained with.
UNSTATED_MAX_TOKENS: Final = 512


def embedding_settings(found: EmbeddingSettings, args: Mapping[str, str]) -> EmbeddingSettings:
    """What detection found, with the user's engine arguments before it; raises `LoadFailed` for an unknown one."""
    unknown = sorted(args.keys() - set(ARGUMENTS))
    if unknown:
        raise LoadFailed(
            f"the engine OnnxRuntime has no argument {unknown[0]!r}; for embeddings there are {', '.join(ARGUMENTS)}"
        )
    return replace(
        found,
        pooling=_argument(args, "pooling", Pooling, found.pooling),
        normalize=_argument(args, "normalize", _flag, found.normalize),
        output=args.get("output", found.output),
    )


def truncates(args: Mapping[str, str]) -> bool:
    """Whether texts that are too long are cut; otherwise they are refused, as OpenAI does."""
    return _argument(args, "truncate", _flag, False)


def width(shape: GraphShape, embedding: EmbeddingSettings) -> int | None:
    """The length of a vector; raises `LoadFailed` if the graph and the artifact's configuration differ."""
    if shape.width and embedding.dimensions and shape.width != embedding.dimensions:
        raise LoadFailed(
            f"the graph's output has {shape.width} dimensions, but the artifact's configuration says "
            f"{embedding.dimensions}; export the model again"
        )
    return shape.width or embedding.dimensions


def max_tokens(settings: EngineSettings, shape: GraphShape, embedding: EmbeddingSettings) -> int:
    """The longest sequence: the user's word, within what the model has positions for; else the artifact's own."""
    hard = [limit for limit in (settings.model.artifact.context_length, shape.fixed_length) if limit]
    wanted = settings.context_length
    if wanted and hard and wanted > min(hard):
        raise LoadFailed(f"a context length of {wanted} was asked for, but this model takes {min(hard)} tokens at most")
    return wanted or min([*hard, embedding.max_sequence_length or UNSTATED_MAX_TOKENS])


def batch_limits(shape: GraphShape) -> BatchLimits:
    """How batches are built: the measured default, narrower where the graph can't take it."""
    return BatchLimits(
        max_sequences=shape.fixed_rows or BatchLimits.max_sequences,
        max_padding=BatchLimits.max_padding if shape.masks else 0.0,
    )


def _argument(args: Mapping[str, str], name: str, parse: Callable[[str], T], default: T) -> T:
    value = args.get(name)
    if value is None:
        return default
    try:
        return parse(value)
    except ValueError as error:
        allowed = "true or false" if parse is _flag else ", ".join(Pooling)
        raise LoadFailed(f"the engine argument {name}={value} is not known; it may be {allowed}") from error


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError(value)
    return value == "true"
