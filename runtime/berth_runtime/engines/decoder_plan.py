"""How much an ONNX model that writes text is given: context, texts at once, tokens read in a step. Pure.

Called by `berth_runtime.engines.decoder_engine`; whatever can't be is a `LoadFailed` that says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from berth_api.sizes import size_words
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.detect import DecoderSettings

DEFAULT_SEQUENCES: Final = 4
DEFAULT_CONTEXT_LENGTH: Final = 8192
MIN_CONTEXT_LENGTH: Final = 512
CACHE_SHARE: Final = 4  # the default context's cache takes at most a quarter of what the weights leave
CACHE_BYTES: Final[Mapping[str, int]] = {"F32": 4, "F16": 2}
# A prompt is read in pieces, so that the other texts go on meanwhile and a client that leaves is noticed. What a piece
# takes beside the weights is a row of logits for each token, and of scores for each head.
READ_TOKENS: Final = 128
MIN_READ_TOKENS: Final = 8
READ_BYTES: Final = 64 << 20


@dataclass(frozen=True, kw_only=True)
class DecoderPlan:
    """`context_length` is of one text, `sequences` how many are written at once, `read_tokens` a piece of a prompt."""

    context_length: int
    sequences: int
    read_tokens: int


def plan_decoder(settings: EngineSettings, decoder: DecoderSettings) -> DecoderPlan:
    """Choose what the user left open."""
    _check_arguments(settings)
    sequences = settings.parallel_sequences or DEFAULT_SEQUENCES
    per_token = decoder.cache_numbers_per_token * CACHE_BYTES[decoder.cache_type] * sequences
    room = max(0, settings.memory_bytes - (settings.model.artifact.size_bytes or 0))
    own = settings.model.artifact.context_length or DEFAULT_CONTEXT_LENGTH
    if settings.context_length:
        context_length = min(settings.context_length, own)
        _check_room(per_token * context_length, room, f"{sequences} texts of {context_length:,} tokens")
    else:
        wanted = min(own, DEFAULT_CONTEXT_LENGTH)
        least = min(wanted, MIN_CONTEXT_LENGTH)
        context_length = max(least, min(wanted, room // CACHE_SHARE // per_token))
        _check_room(per_token * context_length, room, f"{sequences} texts of {context_length:,} tokens")
    row = 4 * max(decoder.vocabulary, decoder.heads * context_length)
    read_tokens = max(MIN_READ_TOKENS, min(READ_TOKENS, READ_BYTES // row))
    return DecoderPlan(context_length=context_length, sequences=sequences, read_tokens=read_tokens)


def _check_arguments(settings: EngineSettings) -> None:
    for name, value in settings.args.items():
        if (name, value) == ("provider", "cpu"):
            continue
        if name == "provider":
            raise LoadFailed(
                f"the engine OnnxRuntime writes text on the CPU alone, and provider={value} asks for another; leave it "
                "out, and `spec.accelerator` too"
            )
        raise LoadFailed(
            f"the engine OnnxRuntime has no argument {name!r} for the task {settings.task}; it has provider"
        )


def _check_room(needed: int, room: int, what: str) -> None:
    if needed > room:
        raise LoadFailed(
            f"the keys and values of {what} take {size_words(needed)}, and the memory has {size_words(room)} beside "
            "the weights; lower the context length or the parallel sequences, or grant more memory"
        )
