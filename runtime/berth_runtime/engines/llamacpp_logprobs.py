"""Log probabilities in OpenAI's own forms. Used by `engines.llamacpp` and `engines.llamacpp_answers`; pure.

llama.cpp gives none at all to who asks for the chosen tokens without alternatives, and 20 alternatives to who does not
say how many; so it is asked for one, which is left out. It answers text completions with the form of chat (`content`, a
list of tokens with their alternatives); clients of `/v1/completions` expect four parallel lists.
"""

from typing import Any

Json = dict[str, Any]


class ChosenLogprobs:
    """Leaves out the alternatives of a chat's tokens."""

    def rewrite(self, choices: list[Json]) -> None:
        """Change the choices of an event in place."""
        for choice in choices:
            for token in (choice.get("logprobs") or {}).get("content") or ():
                token["top_logprobs"] = []


class CompletionLogprobs:
    """Rewrites the choices of one request; keeps how much text each choice has had, for the offsets."""

    def __init__(self, *, alternatives: bool = True) -> None:
        self._alternatives = alternatives
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
            "top_logprobs": [self._top(token) for token in tokens],
            "text_offset": offsets,
        }

    def _top(self, token: Json) -> dict[str, float]:
        return {top["token"]: top["logprob"] for top in token["top_logprobs"]} if self._alternatives else {}


def ask_for_logprobs(body: Json, *, chat: bool) -> ChosenLogprobs | CompletionLogprobs | None:
    """What has to be done with the log probabilities of a request; `body` is changed to what llama.cpp understands."""
    if chat:
        if not body.get("logprobs") or body.get("top_logprobs"):
            return None
        body["top_logprobs"] = 1
        return ChosenLogprobs()
    wanted = body.get("logprobs")
    if wanted is None:
        return None
    body["logprobs"] = wanted or 1
    return CompletionLogprobs(alternatives=wanted > 0)
