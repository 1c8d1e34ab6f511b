"""`/metrics`: ours, under the names that dashboards know of every engine, then all of vLLM's own."""

import re
from typing import Final

from berth_runtime.engines.protocol import Usage
from berth_runtime.metrics import Metrics

_PROMPT: Final = re.compile(rb"^vllm:prompt_tokens_total(?:\{[^}\n]*\})? ([0-9.e+]+)", re.MULTILINE)
_GENERATED: Final = re.compile(rb"^vllm:generation_tokens_total(?:\{[^}\n]*\})? ([0-9.e+]+)", re.MULTILINE)


class TokenCounter:
    """Brings our counters of tokens to where vLLM's are, so that no stream has to be read for its usage."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics = metrics
        self._model = model
        self._seen = Usage(0)

    def follow(self, text: bytes) -> None:
        """Count what has come since the last look at vLLM's metrics."""
        now = Usage(_total(_PROMPT, text), _total(_GENERATED, text))
        since = Usage(
            max(now.prompt_tokens - self._seen.prompt_tokens, 0),
            max(now.generated_tokens - self._seen.generated_tokens, 0),
        )
        self._seen = now
        self._metrics.count_outcome(since, model=self._model)


def _total(pattern: re.Pattern[bytes], text: bytes) -> int:
    return round(sum(float(value) for value in pattern.findall(text)))
