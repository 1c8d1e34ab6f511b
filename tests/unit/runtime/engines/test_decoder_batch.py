"""Texts join and leave between two steps, keep to their own rows, and read nothing twice; the graph is a fake."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from berth_runtime.engines.decoder_batch import Batch, Text, shared_length
from berth_runtime.engines.decoder_sampling import Logits, NoToken
from berth_runtime.engines.protocol import Failure

VOCABULARY = 1000
END = 999
LONG = list(range(100, 140))


@dataclass
class FakeGraph:
    """Says after any token the next number; keeps what each row holds, and fails where that is not what it was told."""

    rows: int = 3
    context_length: int = 64
    runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held = np.full((self.rows, self.context_length), -1)

    def read(self, row: int, start: int, tokens: Sequence[int]) -> Logits:
        assert (self.held[row, :start] >= 0).all(), "a piece was read before the one in front of it"
        self.held[row, start : start + len(tokens)] = tokens
        self.runs.append(f"read {row} {start}+{len(tokens)}")
        return self._after(tokens[-1])

    def step(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        for row, (token, length) in enumerate(zip(tokens, lengths, strict=True)):
            self.held[row, length] = token  # an IndexError where there is no room
        self.runs.append(f"step {list(tokens)}")
        return np.stack([self._after(token) for token in tokens])

    def copy(self, source: int, target: int, length: int) -> None:
        self.held[target, :length] = self.held[source, :length]
        self.runs.append(f"copy {source}>{target} {length}")

    def _after(self, token: int) -> Logits:
        logits = np.zeros(VOCABULARY, np.float32)
        logits[token + 1] = 1
        return logits


class Likeliest:
    def choose(self, logits: Logits) -> int:
        return int(logits.argmax())


class Broken:
    def choose(self, logits: Logits) -> int:
        raise NoToken("the model's numbers are not finite")


@dataclass
class Written:
    gone: bool = False
    stop_at: int | None = None
    tokens: list[int] = field(default_factory=list)
    ended: tuple[str, int] | None = None
    failure: Failure | None = None

    def write(self, token: int) -> bool:
        self.tokens.append(token)
        return token == self.stop_at

    def end(self, reason: str, tokens: int) -> None:
        assert self.ended is None, "it ended twice"
        self.ended = (reason, tokens)

    def fail(self, failure: Failure) -> None:
        self.failure = failure


def a_text(*prompt: int, most: int = 50, **more: object) -> Text:
    return Text(list(prompt), most, frozenset({END}), Likeliest(), Written(**more))  # type: ignore[arg-type]


def of(text: Text) -> Written:
    assert isinstance(text.writer, Written)
    return text.writer


def run(batch: Batch, *texts: Text, most_turns: int = 200) -> None:
    """Turns until all have ended."""
    for _ in range(most_turns):
        if all(of(text).ended or of(text).failure for text in texts):
            return
        batch.turn()
    raise AssertionError("they did not end")


@pytest.fixture
def graph() -> FakeGraph:
    return FakeGraph()


@pytest.fixture
def batch(graph: FakeGraph) -> Batch:
    return Batch(graph, read_tokens=8)


def test_a_text_goes_on_from_its_prompt_until_it_has_all_its_tokens(batch: Batch) -> None:
    text = a_text(10, 11, most=3)
    batch.add([text])
    run(batch, text)
    assert (of(text).tokens, of(text).ended) == ([12, 13, 14], ("length", 3))


def test_the_token_of_an_end_is_counted_and_not_written(batch: Batch) -> None:
    text = a_text(END - 3)
    batch.add([text])
    run(batch, text)
    assert (of(text).tokens, of(text).ended) == ([END - 2, END - 1], ("stop", 3))


def test_a_text_ends_where_its_writer_has_come_to_a_stop_word(batch: Batch) -> None:
    text = a_text(10, stop_at=12)
    batch.add([text])
    run(batch, text)
    assert of(text).ended == ("stop", 2)


def test_one_that_comes_later_joins_between_two_steps(batch: Batch, graph: FakeGraph) -> None:
    early, late = a_text(10, most=20), a_text(500, most=3)
    batch.add([early])
    for _ in range(4):
        batch.turn()
    batch.add([late])
    run(batch, late)
    assert of(late).tokens == [501, 502, 503]
    assert of(early).ended is None
    assert f"step {[16, 502]}" in graph.runs
    run(batch, early)
    assert of(early).tokens == list(range(11, 31))


def test_a_long_prompt_is_read_in_pieces_between_the_steps_of_the_others(batch: Batch, graph: FakeGraph) -> None:
    early, long = a_text(10, most=30), a_text(*LONG, most=2)
    batch.add([early])
    batch.turn()
    batch.add([long])
    graph.runs.clear()
    run(batch, long)
    reads = [at for at, each in enumerate(graph.runs) if each.startswith("read 1")]
    assert [graph.runs[at] for at in reads] == [f"read 1 {start}+8" for start in range(0, 40, 8)]
    assert all(graph.runs[at + 1].startswith("step") for at in reads)
    run(batch, early)
    assert of(early).tokens == list(range(11, 41))
    assert of(long).tokens == [140, 141]


def test_a_step_writes_nothing_into_what_another_row_is_still_reading(batch: Batch, graph: FakeGraph) -> None:
    """The step covers its row too: what it writes there has to lie behind what was read."""
    first, long, last = a_text(10, most=5), a_text(*LONG, most=3), a_text(700, most=40)
    batch.add([first, last])
    run(batch, first)
    batch.add([long])
    run(batch, long)
    assert of(long).tokens == [140, 141, 142]
    assert list(graph.held[0, :40]) == LONG
    run(batch, last)
    assert of(last).tokens == list(range(701, 741))


def test_more_texts_than_rows_wait_for_their_turn(batch: Batch) -> None:
    texts = [a_text(100 * number, most=4) for number in range(1, 8)]
    batch.add(texts)
    run(batch, *texts)
    assert [of(text).tokens[0] for text in texts] == [101, 201, 301, 401, 501, 601, 701]
    assert all(of(text).ended == ("length", 4) for text in texts)


def test_what_nobody_waits_for_ends_and_frees_its_row(batch: Batch) -> None:
    texts = [a_text(100 * number, most=50) for number in range(1, 5)]
    batch.add(texts)
    for _ in range(6):
        batch.turn()
    assert of(texts[3]).tokens == []
    of(texts[0]).gone = True
    run(batch, texts[0])
    assert of(texts[0]).ended == ("gone", 7)
    assert of(texts[3]).tokens == [401, 402]


def test_what_leaves_while_its_prompt_is_read_lets_the_next_one_in(batch: Batch) -> None:
    long, text, waiting = a_text(*LONG), a_text(500, most=1), a_text(600)
    batch.add([long, waiting, text])
    batch.turn()
    of(long).gone = of(waiting).gone = True
    run(batch, text)
    assert (of(long).ended, of(waiting).ended) == (("gone", 0), ("gone", 0))
    assert of(text).tokens == [501]


def test_the_choices_of_one_prompt_read_it_once(batch: Batch, graph: FakeGraph) -> None:
    choices = [a_text(*LONG, most=6) for _ in range(3)]
    batch.add(choices)
    run(batch, *choices)
    assert all(of(choice).tokens == list(range(140, 146)) for choice in choices)
    assert [each for each in graph.runs if not each.startswith("step")] == [
        *(f"read 0 {start}+8" for start in range(0, 40, 8)),
        *("copy 0>1 39", "read 1 39+1"),
        *("copy 0>2 39", "read 2 39+1"),
    ]


def test_what_a_text_left_behind_is_not_read_again(batch: Batch, graph: FakeGraph) -> None:
    first, second = a_text(*LONG, most=5), a_text(*LONG, 140, 141, 7, most=2)
    batch.add([first])
    run(batch, first)
    graph.runs.clear()
    batch.add([second])
    run(batch, second)
    assert graph.runs[0] == "read 0 42+1"
    assert of(second).tokens == [8, 9]
    assert list(graph.held[0, :43]) == [*LONG, 140, 141, 7]


def test_a_few_tokens_that_are_the_same_are_read_again(batch: Batch, graph: FakeGraph) -> None:
    first, second = a_text(1, 2, 3, most=1), a_text(1, 2, 4, most=1)
    batch.add([first, second])
    run(batch, first, second)
    assert graph.runs == ["read 0 0+3", "read 0 0+3"]


def test_a_text_may_fill_its_row_to_the_end(batch: Batch, graph: FakeGraph) -> None:
    text = a_text(*LONG, most=graph.context_length - len(LONG))
    batch.add([text])
    run(batch, text)
    assert of(text).ended == ("length", 24)
    other, beside = a_text(500, most=3), a_text(600, most=3)
    batch.add([other, beside])
    run(batch, other, beside)
    assert of(beside).tokens == [601, 602, 603]


def test_a_model_that_says_nothing_fails_its_own_text_alone(batch: Batch) -> None:
    good, bad = a_text(10, most=3), a_text(20)
    bad.chooser = Broken()
    batch.add([bad, good])
    run(batch, good, bad)
    failure = of(bad).failure
    assert failure is not None
    assert (failure.status, of(good).ended) == (500, ("length", 3))
    assert "not finite" in failure.message


def test_the_thread_sleeps_until_there_is_a_text() -> None:
    batch, ended = Batch(FakeGraph(), read_tokens=8), threading.Event()
    text = a_text(10, most=2)
    text.writer.end = lambda reason, tokens: ended.set()  # type: ignore[method-assign]
    batch.start()
    batch.add([text])
    assert ended.wait(30)


@pytest.mark.parametrize(
    ("first", "second", "length"),
    [([], [1], 0), ([1, 2, 3], [1, 2, 3], 3), ([1, 2, 3], [1, 2, 4, 5], 2), ([5], [6], 0), ([1], [1, 2], 1)],
)
def test_the_shared_beginning_of_two_texts(first: list[int], second: list[int], length: int) -> None:
    assert shared_length(first, second) == shared_length(second, first) == length
