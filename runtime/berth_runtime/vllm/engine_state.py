"""What can be learnt of vLLM from the state of its application, without importing it. A version that keeps it elsewhere
is answered with what is known otherwise.
"""

from dataclasses import dataclass
from typing import Any, Final

DEFAULT_PLACES: Final = 256


@dataclass(frozen=True)
class EngineFacts:
    """What the engine was made for."""

    parallel_requests: int
    context_length: int | None
    dimensions: int | None


def read_facts(app: Any) -> EngineFacts:
    """The facts, of a server that is up."""
    config = getattr(getattr(app, "state", None), "vllm_config", None)
    scheduler, model = getattr(config, "scheduler_config", None), getattr(config, "model_config", None)
    return EngineFacts(
        parallel_requests=_positive(getattr(scheduler, "max_num_seqs", None)) or DEFAULT_PLACES,
        context_length=_positive(getattr(model, "max_model_len", None)),
        dimensions=_positive(getattr(model, "embedding_size", None)),
    )


def has_died(app: Any) -> bool:
    """Whether the engine behind the server is gone: vLLM itself looks only every five seconds."""
    client = getattr(getattr(app, "state", None), "engine_client", None)
    return bool(getattr(client, "errored", False))


def _positive(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
