"""From texts and token ids to the sequences that a graph takes: tokenising, the prompt, the limits.

Called by the threads of `berth_runtime.engines.embedding_scheduler`; the tokenizer leaves the interpreter free.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from berth_api.errors import BerthError
from berth_runtime.engines.protocol import Failure, LoadFailed

TokenIds = NDArray[np.int64]

# A text with more characters than this for each token that fits is refused unread: no tokenizer shortens so much
# except runs of white space and single words without an end, and reading megabytes of those would stall a core.
CHARACTERS_PER_TOKEN = 256

PADDING_WORDS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")


class InputRefused(BerthError):  # noqa: N818 - reads as what happened
    """One input of a request can't be embedded; `index` says which, `code` is the OpenAI error code."""

    def __init__(self, index: int, code: str, why: str) -> None:
        self.index = index
        self.code = code
        super().__init__(f"input[{index}] {why}")

    def failure(self) -> Failure:
        """The answer that the client gets."""
        return Failure(400, self.code, str(self), param="input")


@dataclass(frozen=True, kw_only=True)
class TextLimits:
    """`max_tokens` is the longest sequence, the tokenizer's own marks included; a longer one is cut if `truncate`."""

    max_tokens: int
    truncate: bool = False


class TextTokenizer:
    """A `tokenizer.json`, with the prompt that the model wants before each text."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, limits: TextLimits, *, prompt: str = "") -> None:
        # The artifact's own padding and truncation are those of its training; ours are decided batch by batch.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if limits.truncate:
            tokenizer.enable_truncation(limits.max_tokens)
        self._tokenizer = tokenizer
        self._limits = limits
        self._prompt = prompt
        self.vocabulary_size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self.padding_id = next(filter(None, map(tokenizer.token_to_id, PADDING_WORDS)), 0)

    def prompt_tokens(self) -> int:
        """How many tokens of a sequence belong to the prompt, the mark at the front included."""
        if not self._prompt:
            return 0
        ids = self._tokenizer.encode(self._prompt).ids
        marks = self._tokenizer.encode("").ids
        return len(ids) - (1 if marks and ids[-1] == marks[-1] else 0)

    def encode(self, inputs: Sequence[str] | Sequence[tuple[int, ...]], *, first: int = 0) -> list[TokenIds]:
        """One array of ids for each input; raises `InputRefused` with its index, counted from `first`.

        Token ids are taken as they are: whoever sends them has added the tokenizer's marks or left them out.
        """
        texts = [self._checked_text(value, first + at) for at, value in enumerate(inputs) if isinstance(value, str)]
        found: Sequence[Sequence[int]]
        if texts:
            found = self._tokens(texts, first)
        else:
            found = [self._checked_ids(value, first + at) for at, value in enumerate(inputs)]
        return [self._checked_length(ids, first + at) for at, ids in enumerate(found)]

    def _tokens(self, texts: list[str], first: int) -> list[list[int]]:
        try:
            return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]
        except Exception as error:  # the library's only class; here for a vocabulary that lacks a piece
            if len(texts) == 1:
                raise InputRefused(first, "invalid_value", f"can't be tokenised: {error}") from error
        return [self._tokens([text], first + at)[0] for at, text in enumerate(texts)]

    def _checked_text(self, text: str, index: int) -> str:
        most = CHARACTERS_PER_TOKEN * self._limits.max_tokens
        if len(text) > most and not self._limits.truncate:
            raise InputRefused(
                index,
                "context_length_exceeded",
                f"has {len(text):,} characters, more than the {self._limits.max_tokens:,} tokens of this model "
                f"can hold; split it",
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputRefused(
                index, "invalid_value", f"holds half of a surrogate pair at character {error.start}; send valid Unicode"
            ) from error
        return self._prompt + text[:most]

    def _checked_ids(self, value: object, index: int) -> Sequence[int]:
        assert isinstance(value, tuple)
        for at, token in enumerate(value):
            if not 0 <= token < self.vocabulary_size:
                raise InputRefused(
                    index,
                    "invalid_value",
                    f"has token id {token} at position {at}; ids of this model go from 0 to {self.vocabulary_size - 1}",
                )
        return value[: self._limits.max_tokens] if self._limits.truncate else value

    def _checked_length(self, ids: Sequence[int], index: int) -> TokenIds:
        if len(ids) > self._limits.max_tokens:
            raise InputRefused(
                index,
                "context_length_exceeded",
                f"has {len(ids):,} tokens, but this model takes {self._limits.max_tokens:,} at most; "
                f"split it, or start the engine with the argument truncate=true",
            )
        return np.array(ids, dtype=np.int64)


def load_tokenizer(path: Path, limits: TextLimits, *, prompt: str = "") -> TextTokenizer:
    """Read a `tokenizer.json`; raises `LoadFailed`."""
    # Each of our threads tokenises for itself; a pool of the library's own would fight them for the cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library's only class, for any damage of the file
        raise LoadFailed(f"{path.name} can't be read: {error}; export the tokenizer again") from error
    return TextTokenizer(tokenizer, limits, prompt=prompt)
