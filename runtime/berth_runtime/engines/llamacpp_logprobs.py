"""Log probabilities of text completions in OpenAI's own form. Used by `engines.llamacpp_answers`; pure.

llama.cpp answers text completions with the form of chat (`content`, a list of tokens with their alternatives); clients
of `/v1/completions` expect four parallel lists.
"""

from typing import Any

Json = dict[str, Any]


class CompletionLogprobs:
    """Rewrites the choices of one request; keeps how much text each choice has had, for the offsets."""

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}

    def rewrite(self, choices: list[Json]) -> None:
        """Replace the form of chat by that of text completions, in place."""
        for choice in choices:
            logprobs = choice.get("logprobs")
            if logprobs is not None:
                choice["logprobs"] = self._lists(choice["index"], logprobs["content"])

    def _lists(self, index: int, tokens: list[Json]) -> Json:
        at = self._offsets.get(index, 0)
        offsets = []
        for token in tokens:
            offsets.append(at)
            at += len(token["token"])
        self._offsets[index] = at
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [{top["token"]: top["logprob"] for top in token["top_logprobs"]} for token in tokens],
            "text_offset": offsets,
        }
