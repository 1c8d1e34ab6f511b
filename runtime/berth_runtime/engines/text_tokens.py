"""From texts, pairs of texts and token ids to the sequences that a graph takes: tokenising, the prompt, the limits.

Called by the threads of `berth_runtime.engines.text_scheduler`; the tokenizer leaves the interpreter free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import tokenizers
from numpy.typing import NDArray

from berth_api.errors import BerthError
from berth_runtime.engines.protocol import Failure
from berth_runtime.engines.tokenizer_file import read_tokenizer

TokenIds = NDArray[np.int64]

# A text with more characters than this for each token that fits is refused unread: no tokenizer shortens so much
# except runs of white space and single words without an end, and reading megabytes of those would stall a core.
CHARACTERS_PER_TOKEN: Final = 256

# A query is cut beforehand to this many times the tokens that fit. More than once: which of two texts is the longer
# decides which of them keeps one token more.
QUERY_SURPLUS: Final = 4

PADDING_WORDS: Final = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")
UNKNOWN_WORDS: Final = ("[UNK]", "<unk>")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that become one sequence: a query and a document."""

    first: str
    second: str


Input = str | tuple[int, ...] | Pair


class Span(NamedTuple):
    """The characters of a token in its text, and whether it goes on with the word of the token before."""

    start: int
    end: int
    continues: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One sequence.

    `types` tell the second text of a pair from the first (None: there is one text). `spans` are there where they are
    asked for, None in them is a mark of the tokenizer's own.
    """

    ids: TokenIds
    types: TokenIds | None = None
    spans: Sequence[Span | None] = ()

    def __len__(self) -> int:
        return len(self.ids)


class InputRefused(BerthError):  # noqa: N818 - reads as what happened
    """One input of a request can't be taken; `where` says which, `code` is the OpenAI error code."""

    def __init__(self, where: str, code: str, why: str) -> None:
        self.where = where
        self.code = code
        super().__init__(f"{where} {why}")

    def failure(self) -> Failure:
        """The answer that the client gets."""
        return Failure(400, self.code, str(self), param=self.where.partition("[")[0])


@dataclass(frozen=True, kw_only=True)
class TextLimits:
    """`max_tokens` is the longest sequence, the tokenizer's own marks included; a longer one is cut if `truncate`."""

    max_tokens: int
    truncate: bool = False


class TextTokenizer:
    """A `tokenizer.json`, with the prompt that the model wants before each text.

    Of pairs that are too long the longer text loses its end until both are of a length, then both do, as transformers
    does by its strategy `longest_first`.
    """

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, limits: TextLimits, *, prompt: str = "", spans: bool = False
    ) -> None:
        # The artifact's own padding and truncation are those of its training; ours are decided batch by batch.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if limits.truncate:
            tokenizer.enable_truncation(limits.max_tokens, strategy="longest_first")
        self._longest_query = QUERY_SURPLUS * limits.max_tokens
        self._tokenizer = tokenizer
        self._limits = limits
        self._prompt = prompt
        self._spans = spans
        self._marks_subwords = bool(getattr(tokenizer.model, "continuing_subword_prefix", None))
        unknown = map(tokenizer.token_to_id, UNKNOWN_WORDS)
        self._unknown_id = next((number for number in unknown if number is not None), None)
        self.vocabulary_size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self.padding_id = next(filter(None, map(tokenizer.token_to_id, PADDING_WORDS)), 0)

    def prompt_tokens(self) -> int:
        """How many tokens of a sequence belong to the prompt, the mark at the front included."""
        if not self._prompt:
            return 0
        ids = self._tokenizer.encode(self._prompt).ids
        marks = self._tokenizer.encode("").ids
        return len(ids) - (1 if marks and ids[-1] == marks[-1] else 0)

    def encode(self, inputs: Sequence[Input], *, first: int = 0) -> list[Tokens]:
        """A sequence for each input, all of one kind; raises `InputRefused` with its index, counted from `first`.

        Token ids are taken as they are: whoever sends them has added the tokenizer's marks or left them out.
        """
        pairs = [value for value in inputs if isinstance(value, Pair)]
        texts = [value for value in inputs if isinstance(value, str)]
        if pairs:
            return self._pairs(pairs, first)
        if texts:
            checked = [self._prompt + self._checked_text(text, _input(first + at)) for at, text in enumerate(texts)]
            found = self._sequences(checked, "input", first)
        else:
            found = [Tokens(self._checked_ids(value, _input(first + at))) for at, value in enumerate(inputs)]
        return [self._checked_length(tokens, _input(first + at)) for at, tokens in enumerate(found)]

    def _pairs(self, pairs: Sequence[Pair], first: int) -> list[Tokens]:
        query = self._without_surplus(self._checked_text(pairs[0].first, "query"))
        texts = [self._checked_text(pair.second, f"documents[{first + at}]") for at, pair in enumerate(pairs)]
        found = self._sequences([(query, text) for text in texts], "documents", first)
        return [
            self._checked_length(tokens, f"documents[{first + at}] with the query") for at, tokens in enumerate(found)
        ]

    def _without_surplus(self, query: str) -> str:
        """The query without an end that truncation takes off in each of its pairs, so that it is read once only."""
        if not self._limits.truncate or len(query) <= self._longest_query:
            return query
        try:
            found = self._tokenizer.encode(query, add_special_tokens=False)
        except Exception as error:  # the library's only class
            raise InputRefused("query", "invalid_value", f"can't be tokenised: {error}") from error
        ends = [end for part in (found, *found.overflowing) for _, end in part.offsets]
        return query[: ends[self._longest_query - 1]] if len(ends) > self._longest_query else query

    def _sequences(self, texts: Sequence[str | tuple[str, str]], field: str, first: int) -> list[Tokens]:
        encode = self._tokenizer.encode_batch if self._spans else self._tokenizer.encode_batch_fast
        try:
            encodings = encode(texts)
        except Exception as error:  # the library's only class; here for a vocabulary that lacks a piece
            if len(texts) == 1:
                raise InputRefused(f"{field}[{first}]", "invalid_value", f"can't be tokenised: {error}") from error
            return [self._sequences([text], field, first + at)[0] for at, text in enumerate(texts)]
        return [self._tokens(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]

    def _tokens(self, text: str | tuple[str, str], encoding: tokenizers.Encoding) -> Tokens:
        return Tokens(
            np.array(encoding.ids, dtype=np.int64),
            None if isinstance(text, str) else np.array(encoding.type_ids, dtype=np.int64),
            self._spans_of(text, encoding) if self._spans and isinstance(text, str) else (),
        )

    def _spans_of(self, text: str, encoding: tokenizers.Encoding) -> list[Span | None]:
        """As the token classification pipeline of transformers finds words.

        Where the vocabulary marks the tokens that go on with a word, a token is longer than its characters; elsewhere
        one goes on with a word if there is no space before it.
        """
        spans: list[Span | None] = []
        tokens = zip(encoding.ids, encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True)
        for number, token, (start, end), special in tokens:
            if self._marks_subwords:
                continues = len(token) != end - start
            else:
                continues = start > 0 and " " not in text[start - 1 : start + 1]
            spans.append(None if special else Span(start, end, continues and number != self._unknown_id))
        return spans

    def _checked_text(self, text: str, where: str) -> str:
        most = CHARACTERS_PER_TOKEN * self._limits.max_tokens
        if len(text) > most and not self._limits.truncate:
            raise InputRefused(
                where,
                "context_length_exceeded",
                f"has {len(text):,} characters, more than the {self._limits.max_tokens:,} tokens of this model "
                f"can hold; split it",
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputRefused(
                where, "invalid_value", f"holds half of a surrogate pair at character {error.start}; send valid Unicode"
            ) from error
        return text[:most]

    def _checked_ids(self, value: object, where: str) -> TokenIds:
        assert isinstance(value, tuple)
        for at, token in enumerate(value):
            if not 0 <= token < self.vocabulary_size:
                raise InputRefused(
                    where,
                    "invalid_value",
                    f"has token id {token} at position {at}; ids of this model go from 0 to {self.vocabulary_size - 1}",
                )
        return np.array(value[: self._limits.max_tokens] if self._limits.truncate else value, dtype=np.int64)

    def _checked_length(self, tokens: Tokens, where: str) -> Tokens:
        if len(tokens) > self._limits.max_tokens:
            raise InputRefused(
                where,
                "context_length_exceeded",
                f"has {len(tokens):,} tokens, but this model takes {self._limits.max_tokens:,} at most; "
                f"split it, or start the engine with the argument truncate=true",
            )
        return tokens


def _input(index: int) -> str:
    return f"input[{index}]"


def load_tokenizer(path: Path, limits: TextLimits, *, prompt: str = "", spans: bool = False) -> TextTokenizer:
    """Read a `tokenizer.json`; raises `LoadFailed`."""
    return TextTokenizer(read_tokenizer(path), limits, prompt=prompt, spans=spans)
