"""Requests on their way through the threads, with a graph that tests can hold, break and look into."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from recorded_reply import DEADLINE_SECONDS, RecordedReply

from berth_runtime.engines.jobs import Interrupt, RunFailed
from berth_runtime.engines.text_answers import RowsAnswer
from berth_runtime.engines.text_scheduler import TOKENISED_AT_ONCE, WAITING_TOKENS, TextScheduler
from berth_runtime.engines.text_shape import Floats
from berth_runtime.engines.text_tokens import Input, InputRefused, TokenIds, Tokens
from berth_runtime.engines.text_window import BatchLimits

POISON = 13


class LetterEncoder:
    """Each letter is a token; a text with a question mark is refused."""

    def encode(self, inputs: Sequence[Input], *, first: int = 0) -> list[Tokens]:
        for at, text in enumerate(inputs):
            if "?" in str(text):
                raise InputRefused(f"input[{first + at}]", "invalid_value", "has a question mark")
        return [Tokens(np.array([ord(letter) for letter in str(text)])) for text in inputs]


class FakeGraph:
    """The vector of a text is its length and its first token. It can wait, and fail on a text that begins with `!`."""

    def __init__(self) -> None:
        self.lengths: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()
        self.running = threading.Semaphore(0)
        self.vector: Callable[[TokenIds], list[float]] = lambda ids: [len(ids), ids[0]]

    def interrupt(self) -> Interrupt:
        return Interrupt()

    def run(self, batch: Sequence[Tokens], interrupt: Interrupt) -> Sequence[Floats]:
        self.lengths.append([len(tokens) for tokens in batch])
        self.running.release()
        while not self.open.wait(0.01):
            if interrupt.terminate:
                raise RunFailed("It", "terminated")
        if any(tokens.ids[0] == ord("!") for tokens in batch):
            raise RunFailed("It", "indices out of bounds")
        return np.array([self.vector(tokens.ids) for tokens in batch], dtype=np.float32)


@pytest.fixture
def graph() -> FakeGraph:
    return FakeGraph()


@pytest.fixture
def scheduler(graph: FakeGraph) -> TextScheduler:
    limits = BatchLimits(max_padding=0.5)
    scheduler = TextScheduler(LetterEncoder(), graph, limits, threads=1)
    scheduler.start()
    return scheduler


def ask(scheduler: TextScheduler, *texts: str) -> RecordedReply:
    reply = RecordedReply()
    scheduler.submit(texts, RowsAnswer(len(texts)), reply)
    return reply


def begun(graph: FakeGraph) -> None:
    assert graph.running.acquire(timeout=DEADLINE_SECONDS), "the graph was not run"


def test_vectors_come_in_the_order_of_the_inputs_with_all_tokens_counted(scheduler: TextScheduler) -> None:
    reply = ask(scheduler, "long one", "b", "ccc")
    assert reply.matrix().tolist() == [[8, ord("l")], [1, ord("b")], [3, ord("c")]]
    assert reply.result is not None
    assert (reply.result.columns, reply.result.prompt_tokens) == (2, 12)


def test_requests_that_wait_share_a_batch(scheduler: TextScheduler, graph: FakeGraph) -> None:
    graph.open.clear()
    replies = [ask(scheduler, "first")]
    begun(graph)
    replies += [ask(scheduler, text) for text in ("ab", "cd", "ef")]
    graph.open.set()
    assert [reply.matrix()[0, 0] for reply in replies] == [5, 2, 2, 2]
    assert graph.lengths == [[5], [2, 2, 2]]


def test_a_long_list_is_answered_whole(scheduler: TextScheduler) -> None:
    texts = ["x" * (1 + at % 7) for at in range(2 * TOKENISED_AT_ONCE + 1)]
    assert ask(scheduler, *texts).matrix()[:, 0].tolist() == [len(text) for text in texts]


def test_a_long_list_does_not_keep_a_single_text_waiting(scheduler: TextScheduler, graph: FakeGraph) -> None:
    graph.open.clear()
    texts = ["x" * 1000] * (3 * WAITING_TOKENS // 1000)
    long = ask(scheduler, *texts)
    begun(graph)
    single = ask(scheduler, "single")
    graph.open.set()
    assert single.matrix()[0, 0] == 6
    assert long.matrix()[:, 0].tolist() == [1000] * len(texts)
    assert [len("single")] in graph.lengths[:3]


def test_an_input_that_is_refused_ends_its_request_and_no_other(scheduler: TextScheduler) -> None:
    refused, answered = ask(scheduler, "fine", "why?"), ask(scheduler, "fine")
    assert refused.refused().message == "input[1] has a question mark"
    assert answered.matrix().shape == (1, 2)
    assert (refused.ends, answered.ends) == (1, 1)


def test_the_index_of_a_refused_input_counts_from_the_front_of_a_long_list(scheduler: TextScheduler) -> None:
    reply = ask(scheduler, *["x"] * (TOKENISED_AT_ONCE + 5), "?")
    assert reply.refused().message.startswith(f"input[{TOKENISED_AT_ONCE + 5}]")


def test_an_input_on_which_the_graph_fails_drags_no_companion_down(scheduler: TextScheduler, graph: FakeGraph) -> None:
    graph.open.clear()
    first = ask(scheduler, "first")
    begun(graph)
    poisoned, companion = ask(scheduler, "!b"), ask(scheduler, "ab")
    graph.open.set()
    assert companion.matrix()[0, 0] == 2
    assert first.matrix()[0, 0] == 5
    failure = poisoned.refused()
    assert (failure.status, failure.code) == (500, "engine_error")
    assert failure.message == "It could not run the model on this input: indices out of bounds"


def test_a_vector_with_infinity_in_it_is_an_error_not_an_answer(scheduler: TextScheduler, graph: FakeGraph) -> None:
    graph.vector = lambda ids: [float("inf") if ids[0] == ord("i") else 1.0]
    assert "no numbers" in ask(scheduler, "fine", "infinite").refused().message
    assert ask(scheduler, "fine").matrix().tolist() == [[1.0]]


def test_a_batch_that_nobody_waits_for_is_stopped(scheduler: TextScheduler, graph: FakeGraph) -> None:
    graph.open.clear()
    left = ask(scheduler, "abc")
    begun(graph)
    left.gone = True
    assert left.wait().usage is not None
    graph.open.set()
    assert ask(scheduler, "fine").matrix()[0, 0] == 4
    assert left.ends == 1


def test_a_request_that_was_left_while_it_waited_is_never_run(scheduler: TextScheduler, graph: FakeGraph) -> None:
    graph.open.clear()
    first = ask(scheduler, "first")
    begun(graph)
    left, stays = ask(scheduler, "abc"), ask(scheduler, "abcd")
    left.gone = True
    left.wait()
    graph.open.set()
    assert (first.matrix()[0, 0], stays.matrix()[0, 0]) == (5, 4)
    assert graph.lengths == [[5], [4]]


def test_a_batch_goes_on_for_those_who_stay(scheduler: TextScheduler, graph: FakeGraph) -> None:
    graph.open.clear()
    first = ask(scheduler, "first")
    begun(graph)
    left, stays = ask(scheduler, "abc"), ask(scheduler, "abcd")
    first.gone = True
    first.wait()
    begun(graph)
    left.gone = True
    left.wait()
    graph.open.set()
    assert stays.matrix()[0, 0] == 4
    assert graph.lengths == [[5], [3, 4]]
