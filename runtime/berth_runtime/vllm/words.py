"""Why a vLLM ended, as one sentence, from its exit status and what it said last; pure.

The first line of the table that matches wins; what none knows is left to `berth_runtime.diagnosis`.
"""

import re
from collections.abc import Sequence
from typing import Final

from berth_runtime.diagnosis import MAX_QUOTED, Rule, explain_exit, last_line


def _rule(pattern: str, sentence: str) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), sentence)


RULES: Final[Sequence[Rule]] = (
    _rule(
        r"(?:CUDA|HIP) out of memory|torch\.OutOfMemoryError|No available memory for the cache blocks",
        "There is not enough memory on the GPU for the model and its context. Lower spec.contextLength or "
        "spec.parallelSequences, take more GPUs, or a smaller quantization.",
    ),
    _rule(
        r"((?:To serve at least one request|[\d.]+ GiB KV cache is needed)[^\n]*)",
        "There is not enough memory for the KV cache of one request of this length. Lower spec.contextLength, or take "
        "more GPUs. vLLM: {0}",
    ),
    _rule(
        r"(Free memory on device[^\n]*)",
        "Something else uses the GPU's memory, so there is not enough memory for vLLM. {0}",
    ),
    _rule(
        r"error: ((?:unrecognized arguments|argument )[^\n]*)",
        "vLLM does not take an argument: {0}. Leave it out of spec.engine.args.",
    ),
    _rule(r"(Model architectures [^\n]* not supported[^\n]*)", "vLLM does not know this model: {0}"),
    _rule(r"address already in use", "Another process has this port. End it, or choose another port by --port."),
    _rule(r"ValidationError[^\n]*\n +Value error, ([^\n\[]+)", "vLLM does not take the model or its settings: {0}"),
    _rule(
        r"\n(?:Value|Runtime|Key|Type|OS|NotImplemented)Error: ([^\n]+)",
        "vLLM does not take the model or its settings: {0}",
    ),
)
GAVE_UP: Final = b"EngineCore failed to start"
"""What vLLM says when its engine will never come. It ends then as a rule, but may wait for a part of it for ever."""

# vLLM begins each line with a level, a date and the place in its source.
_PREFIX: Final = re.compile(
    r"\x1b\[[0-9;]*m|\([\w ]+pid=\d+\) |\b(?:INFO|WARNING|ERROR|CRITICAL) [\d-]+ [\d:]+ \[\S+\] "
)


def explain_end(status: int, said: str, *, has_served: bool) -> str:
    """Why vLLM ended with `status` (negative: the signal) after having `said` this."""
    plain = _PREFIX.sub("", said)
    if has_served:
        return f"vLLM's engine ended after it had served. It said last: {last_line(plain) or 'nothing'}"
    for rule in RULES:
        found = rule.pattern.search(plain)
        if found is not None:
            return rule.sentence.format(*(group.strip()[:MAX_QUOTED].rstrip(".") for group in found.groups("")))
    return explain_exit(status, plain).sentence.replace("The engine", "vLLM", 1)
