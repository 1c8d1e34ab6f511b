"""Requests about pictures on their way through the threads, with a graph that tests can hold, break and look into."""

import json
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from recorded_reply import DEADLINE_SECONDS, RecordedReply

from berth_runtime.engines.jobs import Interrupt, RunFailed
from berth_runtime.engines.pictures import BadPicture, Placement, Prepared, Tensor
from berth_runtime.engines.protocol import ImageRequest, Operation
from berth_runtime.engines.vision_readers import Answer
from berth_runtime.engines.vision_scheduler import BatchLimits, VisionScheduler
from berth_runtime.engines.vision_scores import Outputs

# Bytes of a fake picture: a letter, and how many pixels wide it is.
BROKEN, POISON, DAMAGED = b"?4", b"!4", b"n4"


def prepare(data: bytes) -> Prepared:
    if data == BROKEN:
        raise BadPicture("it has a question mark; send another")
    letter, width = data[0], int(data[1:])
    tensor = np.full((3, 1, width), letter, np.float32)
    return Prepared(tensor, (width, 1), Placement(width, 1, 1.0, 1.0, 0.0, 0.0))


class FakeGraph:
    """Its output is the picture's letter. It can wait, fails on a batch with `!`, and says NaN of `n`."""

    def __init__(self) -> None:
        self.batches: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.running = threading.Semaphore(0)
        self.terminated = threading.Event()

    def interrupt(self) -> Interrupt:
        return Interrupt()

    def run(self, tensors: Sequence[Tensor], interrupt: Interrupt) -> Outputs:
        letters = [chr(int(tensor.flat[0])) for tensor in tensors]
        assert len({tensor.shape for tensor in tensors}) == 1
        self.batches.append("".join(letters))
        self.running.release()
        while not self.open.wait(0.01):
            if interrupt.terminate:
                self.terminated.set()
                raise RunFailed("It", "terminated")
        if "!" in letters:
            raise RunFailed("It", "a dimension is wrong")
        rows = [[np.nan if letter == "n" else ord(letter)] for letter in letters]
        return {"letters": np.array(rows, dtype=np.float32), "other": np.full((len(letters), 1), np.nan, np.float32)}


class LetterReader:
    outputs = ("letters",)
    labels = ()

    def read(self, outputs: Outputs, row: int, prepared: Prepared, threshold: float | None) -> Answer:
        return {"letter": chr(int(outputs["letters"][row][0])), "threshold": threshold}


class RowReader(LetterReader):
    def read(self, outputs: Outputs, row: int, prepared: Prepared, threshold: float | None) -> Answer:
        return np.array([outputs["letters"][row][0], prepared.size[0]], np.float32)


@pytest.fixture
def graph() -> FakeGraph:
    return FakeGraph()


def started(
    graph: FakeGraph, *, threads: int = 1, limits: BatchLimits | None = None, rows: bool = False
) -> VisionScheduler:
    limits = limits or BatchLimits()
    scheduler = VisionScheduler(prepare, graph, RowReader() if rows else LetterReader(), limits, threads=threads)
    scheduler.start()
    return scheduler


def ask(scheduler: VisionScheduler, *pictures: bytes, threshold: float | None = None) -> RecordedReply:
    reply = RecordedReply()
    scheduler.submit(ImageRequest(Operation.OBJECT_DETECTION, pictures, threshold), reply)
    return reply


def letters(reply: RecordedReply) -> str:
    assert reply.wait().failure is None
    return "".join(each["letter"] for each in json.loads(reply.chunks[0]))


def begun(graph: FakeGraph) -> None:
    assert graph.running.acquire(timeout=DEADLINE_SECONDS), "the graph was not run"


def held(graph: FakeGraph, scheduler: VisionScheduler) -> RecordedReply:
    """A request that is in the graph and stays there until `graph.open` is set."""
    graph.open.clear()
    first = ask(scheduler, b"x4")
    begun(graph)
    return first


def test_answers_come_in_the_order_of_the_pictures(graph: FakeGraph) -> None:
    reply = ask(started(graph), b"a4", b"b7", b"c4", b"d7", b"e4", b"f4", threshold=0.3)
    assert letters(reply) == "abcdef"
    assert json.loads(reply.chunks[0])[0]["threshold"] == 0.3
    assert (reply.ends, reply.usage is not None) == (1, True)


def test_rows_are_one_matrix(graph: FakeGraph) -> None:
    matrix = ask(started(graph, rows=True), b"a4", b"b7", b"c4").matrix()
    assert matrix.tolist() == [[97, 4], [98, 7], [99, 4]]


def test_pictures_of_several_requests_share_a_run(graph: FakeGraph) -> None:
    scheduler = started(graph)
    first = held(graph, scheduler)
    replies = [ask(scheduler, b"a4"), ask(scheduler, b"b4"), ask(scheduler, b"c4")]
    graph.open.set()
    assert [letters(reply) for reply in (first, *replies)] == ["x", "a", "b", "c"]
    assert graph.batches == ["x", "abc"]


def test_only_pictures_of_one_size_share_a_run(graph: FakeGraph) -> None:
    scheduler = started(graph, limits=BatchLimits(pictures=8))
    first = held(graph, scheduler)
    reply = ask(scheduler, b"a4", b"b7", b"c4", b"d7")
    graph.open.set()
    assert (letters(first), letters(reply)) == ("x", "abcd")
    assert graph.batches == ["x", "ac", "bd"]


def test_a_run_takes_as_many_pixels_as_it_may(graph: FakeGraph) -> None:
    scheduler = started(graph, limits=BatchLimits(pictures=8, pixels=12))
    first = held(graph, scheduler)
    reply = ask(scheduler, *(b"%c4" % letter for letter in b"abcdefg"), b"h50")
    graph.open.set()
    assert (letters(first), letters(reply)) == ("x", "abcdefgh")
    assert graph.batches == ["x", "abc", "def", "g", "h"]


def test_a_long_list_does_not_hold_up_a_single_picture(graph: FakeGraph) -> None:
    scheduler = started(graph, limits=BatchLimits(pictures=2))
    first = held(graph, scheduler)
    long = ask(scheduler, *(b"%c4" % letter for letter in b"abcdefgh"))
    single = ask(scheduler, b"z4")
    graph.open.set()
    assert (letters(first), letters(long), letters(single)) == ("x", "abcdefgh", "z")
    assert graph.batches[1] == "az"


def test_no_thread_takes_what_others_could_work_on(graph: FakeGraph) -> None:
    scheduler = started(graph, threads=2, limits=BatchLimits(pictures=4))
    graph.open.clear()
    reply = ask(scheduler, b"a4", b"b4", b"c4", b"d4")
    begun(graph)
    begun(graph)
    graph.open.set()
    assert letters(reply) == "abcd"
    assert sorted(map(len, graph.batches)) in ([1, 1, 2], [2, 2])


def test_a_picture_that_breaks_a_run_suffers_alone(graph: FakeGraph) -> None:
    scheduler = started(graph)
    first = held(graph, scheduler)
    good, bad, other = ask(scheduler, b"a4"), ask(scheduler, POISON), ask(scheduler, b"b4")
    graph.open.set()
    assert [letters(reply) for reply in (first, good, other)] == ["x", "a", "b"]
    failure = bad.refused()
    assert (failure.status, failure.code) == (500, "engine_error")
    assert failure.message == "It could not run the model on this picture: a dimension is wrong"


def test_a_picture_that_cannot_be_read_is_named_and_its_companions_suffer_nothing(graph: FakeGraph) -> None:
    scheduler = started(graph)
    first = held(graph, scheduler)
    bad, good = ask(scheduler, b"a4", BROKEN, b"c4"), ask(scheduler, b"b4")
    graph.open.set()
    assert (letters(first), letters(good)) == ("x", "b")
    failure = bad.refused()
    assert (failure.status, failure.code, failure.param) == (400, "invalid_image", "image")
    assert failure.message == "image[1]: it has a question mark; send another"
    assert bad.ends == 1


def test_an_answer_of_no_numbers_is_an_error_and_outputs_that_nobody_reads_are_none(graph: FakeGraph) -> None:
    scheduler = started(graph)
    assert ask(scheduler, DAMAGED).refused().code == "engine_error"
    assert letters(ask(scheduler, b"a4")) == "a"


def test_who_leaves_stops_a_run_that_is_for_nobody_else(graph: FakeGraph) -> None:
    scheduler = started(graph)
    first = held(graph, scheduler)
    first.gone = True
    assert graph.terminated.wait(DEADLINE_SECONDS)
    assert first.wait().usage is not None
    graph.open.set()
    assert letters(ask(scheduler, b"a4")) == "a"


def test_who_leaves_while_waiting_is_never_looked_at(graph: FakeGraph) -> None:
    scheduler = started(graph)
    first = held(graph, scheduler)
    left, stays = ask(scheduler, b"l4", b"m4"), ask(scheduler, b"s4")
    left.gone = True
    assert left.wait().usage is not None
    graph.open.set()
    assert (letters(first), letters(stays)) == ("x", "s")
    assert graph.batches == ["x", "s"]
