"""A client gets whole characters, and nothing of a stop word, however the tokens are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_runtime.engines.decoder_text import MOST_PENDING, TextWriter


def decode(tokens: object) -> str:
    """Each token is a byte."""
    return bytes(tokens).decode("utf-8", errors="replace")  # type: ignore[call-overload]


def spaced(tokens: object) -> str:
    """As SentencePiece does: a space before each word, and none at the beginning."""
    return " ".join(f"w{token}" for token in tokens)  # type: ignore[attr-defined]


def written(text: str, *stops: str, prompt: bytes = b"") -> tuple[list[str], bool, str]:
    """The pieces that were said, whether a stop word came, and the rest."""
    writer, pieces = TextWriter(decode, prompt, stops), []
    for token in text.encode():
        piece, stopped = writer.write(token)
        pieces.append(piece)
        if stopped:
            return pieces, True, ""
    return pieces, False, writer.rest()


@settings(max_examples=50)
@given(st.text(max_size=20), st.binary(max_size=6))
def test_every_text_comes_out_whole(text: str, prompt: bytes) -> None:
    pieces, _, rest = written(text, prompt=prompt)
    assert "".join(pieces) + rest == text


@given(st.text(alphabet="ab", max_size=30), st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3))
def test_a_text_ends_before_the_first_stop_word(text: str, stops: list[str]) -> None:
    pieces, stopped, rest = written(text, *stops)
    assert stopped == any(stop in text for stop in stops)
    # The first that is complete ends it; of several that are complete at once, the one that began first.
    size = next((size for size in range(len(text) + 1) if any(text[:size].endswith(stop) for stop in stops)), None)
    whole = text if size is None else text[: min(text[:size].find(stop) for stop in stops if stop in text[:size])]
    assert "".join(pieces) + rest == whole


def test_no_character_is_split() -> None:
    pieces, _, rest = written("é日😀")
    assert [piece for piece in pieces if piece] == ["é", "日", "😀"]
    assert rest == ""


def test_half_of_a_character_at_the_end_is_left_out() -> None:
    writer = TextWriter(decode, b"", ())
    assert [writer.write(token)[0] for token in (97, *"😀".encode()[:3])] == ["a", "", "", ""]
    assert writer.rest() == ""


def test_bytes_that_are_no_character_do_not_hold_a_text_back_for_ever() -> None:
    writer = TextWriter(decode, b"", ())
    pieces = [writer.write(token)[0] for token in (*[0x80] * MOST_PENDING, *b"ok")]
    assert pieces == [*[""] * (MOST_PENDING - 1), "�" * MOST_PENDING, "o", "k"]


def test_what_may_become_a_stop_word_is_held_back_and_said_if_it_does_not() -> None:
    pieces, stopped, rest = written("a<|b<|en", "<|end|>")
    assert pieces == ["a", "", "", "<|b", "", "", "", ""]
    assert (stopped, rest) == (False, "<|en")


def test_the_space_before_the_first_word_is_said_after_a_prompt() -> None:
    writer = TextWriter(spaced, (1, 2), ())
    assert [writer.write(token)[0] for token in (3, 4)] == [" w3", " w4"]
    assert TextWriter(spaced, (), ()).write(3)[0] == "w3"


def test_a_prompt_that_ends_in_half_a_character_takes_nothing_from_the_text() -> None:
    pieces, _, rest = written("abc", prompt="é".encode()[:1])
    assert "".join(pieces) + rest == "abc"


@pytest.mark.parametrize("length", [1, 500])
def test_what_is_kept_does_not_grow_with_the_text(length: int) -> None:
    sizes: list[int] = []

    def count(tokens: list[int]) -> str:
        sizes.append(len(tokens))
        return decode(tokens)

    writer = TextWriter(count, b"", ())
    for _ in range(length):
        writer.write(97)
    assert max(sizes) <= 2
