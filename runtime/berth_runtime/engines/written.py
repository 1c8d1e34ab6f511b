"""What engines that write text say alike: usage as OpenAI writes it, and a prompt that is too long. Pure."""

from typing import Any, Final

from berth_runtime.engines.protocol import Failure, Usage

Json = dict[str, Any]

CONTEXT_EXCEEDED: Final = "context_length_exceeded"


def render_usage(usage: Usage) -> Json:
    """Usage as OpenAI writes it."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.generated_tokens,
        "total_tokens": usage.prompt_tokens + usage.generated_tokens,
    }


def context_exceeded(tokens: int, context_length: int) -> Failure:
    """A prompt that is longer than one sequence may be."""
    return Failure(
        400,
        CONTEXT_EXCEEDED,
        f"This model's maximum context length is {context_length} tokens, and the prompt has {tokens}. "
        "Shorten it, or serve the model with a larger context length.",
    )
