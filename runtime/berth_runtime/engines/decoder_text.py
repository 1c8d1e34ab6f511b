"""From tokens to the text that a client gets: whole characters only, and nothing of a stop word. Pure.

One `TextWriter` for each text that is being written; `berth_runtime.engines.decoder_answers` has it.
"""

from collections.abc import Callable, Sequence
from typing import Final

Decode = Callable[[Sequence[int]], str]

# What a decoder writes for bytes that are no character, or not yet.
BROKEN: Final = "�"
# A character has four bytes at most, and a byte is a token at least; more tokens than this are not waited for.
MOST_PENDING: Final = 8
# So many tokens of the prompt are decoded with the first of the answer: some write a space before a word, but not at
# the beginning of a text.
CONTEXT_TOKENS: Final = 4


class TextWriter:
    """The text of one answer. `prompt` is what it goes on from, `stops` are the words before which it ends."""

    def __init__(self, decode: Decode, prompt: Sequence[int], stops: Sequence[str]) -> None:
        self._decode = decode
        self._stops = stops
        context = list(prompt[-CONTEXT_TOKENS:])
        self._tokens = [] if decode(context).endswith(BROKEN) else context
        self._said = len(self._tokens)
        self._held = ""

    def write(self, token: int) -> tuple[str, bool]:
        """What may be sent after this token, and whether the text has come to a stop word."""
        self._tokens.append(token)
        text = self._new_text()
        if text.endswith(BROKEN) and len(self._tokens) - self._said < MOST_PENDING:
            return "", False
        # What was said just now is what the next tokens go on from; what was said before is not needed any more.
        del self._tokens[: self._said]
        self._said = len(self._tokens)
        return self._up_to_stop(text)

    def rest(self) -> str:
        """What is left at the end: what might have become a stop word, but no half of a character."""
        text = self._new_text().rstrip(BROKEN) if self._said < len(self._tokens) else ""
        held, self._held = self._held + text, ""
        return held

    def _new_text(self) -> str:
        """What the tokens that were not said yet add to the text before them."""
        return self._decode(self._tokens)[len(self._decode(self._tokens[: self._said])) :]

    def _up_to_stop(self, text: str) -> tuple[str, bool]:
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False


def _overlap(text: str, stop: str) -> int:
    """How much of the end of the text is the beginning of the stop word."""
    most = min(len(text), len(stop) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(stop[:size])), 0)
