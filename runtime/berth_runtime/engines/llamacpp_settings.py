"""How llama.cpp is started for a model: context, sequences, threads, arguments. Used by `engines.llamacpp`; pure.

llama.cpp's own defaults are those of a tool for one person; these are for a server in a container with a limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from berth_api.artifact import Task
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.headers.gguf import GgufHeader

DEFAULT_SEQUENCES: Final = 4
DEFAULT_CONTEXT_LENGTH: Final = 8192
CONTEXT_STEP: Final = 256
MIN_CONTEXT_LENGTH: Final = 512
KV_CACHE_SHARE: Final = 4  # the default context's cache takes at most a quarter of what the weights leave
PROMPT_CACHE_SHARE: Final = 16  # finished prompts are kept for reuse in at most this part of the memory
MAX_PROMPT_CACHE_MIB: Final = 1024
F16_BYTES: Final = 2
VECTOR_TASKS: Final = frozenset({Task.EMBEDDING, Task.RERANK})
BATCH_TOKENS: Final = 512  # what one step computes at once anyway; more in a batch only makes the other streams wait

ARGUMENTS: Final[Mapping[str, str]] = {
    "batch-size": "a number: tokens that one step works on, prompts and generation together",
    "cache-type-k": "f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0: how keys are stored",
    "cache-type-v": "f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0: how values are stored",
    "flash-attn": "on, off or auto",
    "n-gpu-layers": "a number: layers kept on the accelerator, -1 for all",
    "pooling": "mean, cls or last: how token vectors become one, for embeddings",
    "threads": "a number: threads that compute",
}
_CACHE_TYPES: Final = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "cache-type-k": _CACHE_TYPES,
    "cache-type-v": _CACHE_TYPES,
    "flash-attn": ("on", "off", "auto"),
    "pooling": ("mean", "cls", "last"),
}


@dataclass(frozen=True, kw_only=True)
class LlamaCppPlan:
    """What llama.cpp is told. `context_length` is of one sequence; `choices` are the arguments that take a word."""

    context_length: int
    sequences: int
    threads: int
    batch_tokens: int
    gpu_layers: int
    prompt_cache_mib: int
    choices: Mapping[str, str] = field(default_factory=dict)


def plan_llamacpp(settings: EngineSettings, header: GgufHeader, draft: GgufHeader | None = None) -> LlamaCppPlan:
    """Choose what the user left open; raises `LoadFailed` for what can't be. `draft` is the draft model's header."""
    arguments = check_arguments(settings.args)
    if settings.adapters and settings.task in VECTOR_TASKS:
        raise LoadFailed(f"adapters are for models that write text, and the task of this one is {settings.task}")
    if draft is not None and settings.task in VECTOR_TASKS:
        raise LoadFailed(f"a draft model is for models that write text, and the task of this one is {settings.task}")
    sequences = settings.parallel_sequences or DEFAULT_SEQUENCES
    asked = settings.context_length
    if asked and header.context_length:
        asked = min(asked, header.context_length)  # llama.cpp would allot the rest, and never use it
    context_length = round_up(
        asked
        or default_context_length(
            header, draft, sequences=sequences, memory_bytes=memory_beside_weights(settings, header, draft)
        )
    )
    batch_tokens = _number(arguments, "batch-size", BATCH_TOKENS, least=32)
    # An encoder sees a text whole, so the text of a vector or score has to fit into one step.
    return LlamaCppPlan(
        context_length=context_length,
        sequences=sequences,
        threads=_number(arguments, "threads", settings.threads, least=1),
        batch_tokens=max(batch_tokens, context_length if settings.task in VECTOR_TASKS else 0),
        gpu_layers=_number(arguments, "n-gpu-layers", -1, least=-1),
        prompt_cache_mib=prompt_cache_mib(settings),
        choices={name: arguments[name] for name in _CHOICES if name in arguments},
    )


def check_arguments(arguments: Mapping[str, str]) -> Mapping[str, str]:
    """The arguments, if each is known and has a value that can be; else `LoadFailed` names it and the known ones."""
    for name, value in arguments.items():
        if name not in ARGUMENTS:
            known = ", ".join(ARGUMENTS)
            raise LoadFailed(f"llama.cpp is not given the engine argument {name!r} here; it may be one of {known}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise LoadFailed(f"the engine argument {name}={value} can't be; it takes {ARGUMENTS[name]}")
    return arguments


def memory_beside_weights(settings: EngineSettings, header: GgufHeader, draft: GgufHeader | None = None) -> int:
    """Bytes that all files of the model leave; of a split one the header counts the first alone."""
    weights = max(header.file_bytes, settings.model.artifact.size_bytes or 0)
    return max(0, settings.memory_bytes - weights - (draft.file_bytes if draft is not None else 0))


def prompt_cache_mib(settings: EngineSettings) -> int:
    """What finished prompts may take. None are kept beside adapters: llama.cpp does not note by which it read one."""
    return 0 if settings.adapters else min(MAX_PROMPT_CACHE_MIB, settings.memory_bytes // PROMPT_CACHE_SHARE >> 20)


def default_context_length(
    header: GgufHeader, draft: GgufHeader | None = None, *, sequences: int, memory_bytes: int
) -> int:
    """Tokens of one sequence: the model's own length, at most 8,192, and what fits into the memory that is left.

    A prompt that is being read can't be cancelled, so a default also bounds how long a client that left holds its
    place; who needs more asks for it by `--context-length`.
    """
    wanted = min(header.context_length or DEFAULT_CONTEXT_LENGTH, DEFAULT_CONTEXT_LENGTH)
    # A draft model reads along, with a cache of its own.
    per_token = kv_bytes_per_token(header) + (kv_bytes_per_token(draft) if draft is not None else 0)
    if per_token == 0:
        return wanted
    budget = memory_bytes // KV_CACHE_SHARE
    fitting = budget // (per_token * sequences)
    return max(min(wanted, MIN_CONTEXT_LENGTH), min(wanted, fitting))


def round_up(context_length: int) -> int:
    """The next length that llama.cpp can allot; it would do so by itself, and then say less than it has."""
    return -(-context_length // CONTEXT_STEP) * CONTEXT_STEP


def kv_bytes_per_token(header: GgufHeader) -> int:
    """Bytes of keys and values in 16 bits that one token takes in all layers; 0 where the header does not say.

    An upper bound for models with windowed or shared layers.
    """
    heads, blocks, width = header.head_count, header.block_count, header.embedding_length
    if not heads or not blocks or not width:
        return 0
    kv_heads = header.head_count_kv or heads
    key = _dimension(header, "attention.key_length") or width // heads
    value = _dimension(header, "attention.value_length") or width // heads
    return blocks * kv_heads * (key + value) * F16_BYTES


def _dimension(header: GgufHeader, key: str) -> int | None:
    value = header.metadata.get(f"{header.architecture}.{key}")
    return value if type(value) is int and value > 0 else None


def _number(arguments: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = arguments.get(name)
    if text is None:
        return default
    number = int(text) if text.lstrip("-").isdecimal() else least - 1
    if number < least:
        raise LoadFailed(f"the engine argument {name}={text} can't be; it takes {ARGUMENTS[name]}, at least {least}")
    return number
