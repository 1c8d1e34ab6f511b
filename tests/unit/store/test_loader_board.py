"""What `/progress` says while a model is loaded."""

from berth_store.loader.board import Board, LoadStage
from berth_store.progress import Progress, Stage
from berth_store.reference import Reference

REFERENCE = Reference.parse("registry.example/team/model:1")


class Clock:
    """Seconds that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A board, its clock, and how a pull would report to it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.board = Board(self.clock)

    def report(self, done: int, *, stage: Stage = Stage.FETCHING, total: int = 1000, after: float = 0.0) -> None:
        self.clock.now += after
        self.board.report(Progress(REFERENCE, stage, done, total))

    def __getitem__(self, name: str) -> object:
        return self.board.render()[name]


def test_it_resolves_until_the_size_is_known() -> None:
    watched = Watched()
    watched.report(0, stage=Stage.RESOLVING, total=0)
    assert watched.board.render() == {
        "stage": LoadStage.RESOLVING,
        "bytesDone": 0,
        "bytesTotal": 0,
        "bytesPerSecond": 0,
        "secondsLeft": None,
        "message": "",
    }


def test_a_steady_transfer_has_a_rate_and_an_end() -> None:
    watched = Watched()
    watched.report(0)
    watched.report(200, after=2.0)
    assert (watched["stage"], watched["bytesPerSecond"], watched["secondsLeft"]) == (LoadStage.FETCHING, 100, 8.0)


def test_a_transfer_that_stands_still_slows_down_though_nothing_is_reported() -> None:
    watched = Watched()
    watched.report(0)
    watched.report(200, after=2.0)
    watched.clock.now += 6.0
    assert watched["bytesPerSecond"] == 25


def test_bytes_never_go_back() -> None:
    watched = Watched()
    watched.report(600)
    watched.report(0, stage=Stage.RESOLVING, total=0)
    assert (watched["bytesDone"], watched["bytesTotal"]) == (600, 1000)
    watched.report(100, after=1.0)
    assert watched["bytesDone"] == 600
    watched.report(700, after=1.0)
    assert watched["bytesDone"] == 700


def test_only_new_bytes_count_as_moving() -> None:
    watched = Watched()
    watched.report(600, after=1.0)
    watched.report(100, after=5.0)
    assert watched.board.moved_at == 101.0


def test_what_an_earlier_attempt_has_left_is_no_speed() -> None:
    watched = Watched()
    watched.report(0, stage=Stage.RESUMING)
    assert watched["message"] == "checking what an earlier attempt has left"
    watched.report(900, after=0.1)
    watched.report(910, after=1.0)
    assert watched["bytesPerSecond"] == 10
    assert watched["message"] == ""


def test_the_end_of_a_pull_is_not_the_end_of_the_load() -> None:
    watched = Watched()
    watched.report(1000, stage=Stage.DONE)
    assert watched["stage"] == LoadStage.FETCHING
    watched.board.finish()
    assert (watched["stage"], watched["bytesDone"], watched["bytesPerSecond"]) == (LoadStage.DONE, 1000, 0)


def test_trouble_is_told_until_a_byte_comes() -> None:
    watched = Watched()
    watched.board.tell_trouble("no connection. Tried again in 4 s")
    watched.report(0, stage=Stage.RESOLVING, total=0)
    assert watched["message"] == "no connection. Tried again in 4 s"
    watched.report(1)
    assert watched["message"] == ""


def test_a_failure_is_told() -> None:
    watched = Watched()
    watched.board.fail("no such tag")
    assert (watched["stage"], watched["message"]) == (LoadStage.FAILED, "no such tag")
