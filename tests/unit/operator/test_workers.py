"""Workers: only while leading, each outcome with its own consequence, and an end without losing work."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from operator_parts import QWEN_MODEL

from berth_kube.errors import ClusterError, Conflict, Overloaded, Unreachable
from berth_kube.resources import Key
from berth_operator.metrics import OperatorMetrics
from berth_operator.queue import WorkQueue
from berth_operator.reconcile import Outcome
from berth_operator.subject import Kind, Subject
from berth_operator.workers import Workers, reconciles_at_once
from berth_operator.write import NotLeading


class Scene:
    """A queue, and reconciles that end as `outcome` says."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.queue: WorkQueue[Subject] = WorkQueue(loop.time, chance=lambda: 0.0)
        self.leading = asyncio.Event()
        self.metrics = OperatorMetrics()
        self.outcome: Callable[[], Outcome] = Outcome
        self.looked: list[Subject] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.workers = Workers(self.queue, self.leading, self, self.metrics, loop.time, at_once=2)

    async def reconcile(self, subject: Subject) -> Outcome:
        self.looked.append(subject)
        await self.gate.wait()
        return self.outcome()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.001)

    def count(self, outcome: str) -> float:
        text = self.metrics.render().decode()
        line = f'berth_operator_reconciles_total{{kind="Model",outcome="{outcome}"}} '
        return sum(float(one.removeprefix(line)) for one in text.splitlines() if one.startswith(line))


@asynccontextmanager
async def a_scene(*, leading: bool = True) -> AsyncIterator[Scene]:
    scene = Scene()
    if leading:
        scene.leading.set()
    run = asyncio.create_task(scene.workers.run())
    try:
        yield scene
    finally:
        run.cancel()
        scene.gate.set()
        await scene.workers.finish(1)


async def test_nothing_is_looked_at_while_another_replica_leads() -> None:
    async with a_scene(leading=False) as scene:
        scene.queue.add(QWEN_MODEL)
        for _ in range(50):
            await asyncio.sleep(0)
        assert scene.looked == []
        scene.leading.set()
        await scene.until(lambda: scene.looked == [QWEN_MODEL])


async def test_a_key_that_comes_after_leading_has_ended_waits_for_the_next_time() -> None:
    async with a_scene() as scene:
        await asyncio.sleep(0)
        scene.leading.clear()
        scene.queue.add(QWEN_MODEL)
        for _ in range(50):
            await asyncio.sleep(0)
        assert scene.looked == []
        scene.leading.set()
        await scene.until(lambda: scene.looked == [QWEN_MODEL])


async def test_no_more_than_so_many_are_looked_at_at_once() -> None:
    async with a_scene() as scene:
        scene.gate.clear()
        for number in range(5):
            scene.queue.add(Subject(Kind.MODEL, Key("default", f"m{number}")))
        await scene.until(lambda: len(scene.looked) == 2)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(scene.looked) == 2
        scene.gate.set()
        await scene.until(lambda: len(scene.looked) == 5)


async def test_the_next_reconcile_comes_after_the_time_that_was_asked_for() -> None:
    async with a_scene() as scene:
        outcomes = iter([Outcome(again_after_seconds=0.01)])
        scene.outcome = lambda: next(outcomes, Outcome())
        scene.queue.add(QWEN_MODEL)
        await scene.until(lambda: len(scene.looked) == 2)
        assert scene.queue.retry(QWEN_MODEL) == 0.2  # it counted as a success


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Unreachable("gone"), "error"),
        (Overloaded("busy"), "error"),
        (Conflict("old"), "stale"),
        (TimeoutError(), "timeout"),
        (KeyError("a fault of ours"), "bug"),
    ],
)
async def test_a_failed_reconcile_backs_off_and_is_counted(
    error: Exception, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Outcome:
        raise error

    with caplog.at_level(logging.CRITICAL):
        async with a_scene() as scene:
            scene.outcome = fail
            scene.queue.add(QWEN_MODEL)
            await scene.until(lambda: scene.count(word) == 1)
            assert scene.queue.retry(QWEN_MODEL) == 0.4  # the second failure in a row


async def test_a_key_that_was_on_its_way_while_the_lease_was_not_held_is_looked_at_again() -> None:
    outcomes = iter([NotLeading("not now")])

    def answer() -> Outcome:
        for error in outcomes:
            raise error
        return Outcome()

    async with a_scene() as scene:
        scene.outcome = answer
        scene.queue.add(QWEN_MODEL)
        await scene.until(lambda: scene.count("lost") == 1)
        await scene.until(lambda: scene.count("ok") == 1)


async def test_a_fault_of_ours_keeps_no_other_object_from_being_looked_at() -> None:
    async with a_scene() as scene:
        outcomes = iter([1])
        scene.outcome = lambda: Outcome(again_after_seconds=None if next(outcomes, 0) == 0 else 1 / 0)
        scene.queue.add(QWEN_MODEL)
        await scene.until(lambda: scene.count("bug") == 1)
        scene.queue.add(Subject(Kind.MODEL, Key("default", "phi")))
        await scene.until(lambda: scene.count("ok") == 1)


@pytest.mark.parametrize(("trouble", "word"), [(Unreachable("gone"), "error"), (None, "refused")])
async def test_trouble_backs_off_and_a_refusal_waits_for_an_edit(trouble: ClusterError | None, word: str) -> None:
    async with a_scene() as scene:
        scene.outcome = lambda: Outcome(trouble=trouble, refused=True)
        scene.queue.add(QWEN_MODEL)
        await scene.until(lambda: scene.count(word) >= 1)
        assert scene.queue.retry(QWEN_MODEL) == (0.2 if trouble is None else 0.4)


async def test_a_reconcile_that_lost_the_lease_leaves_the_rest_to_the_next_leader() -> None:
    def lose() -> Outcome:
        raise NotLeading("another leads")

    async with a_scene() as scene:
        scene.outcome = lose
        scene.queue.add(QWEN_MODEL)
        await scene.until(lambda: scene.count("lost") == 1)
        assert scene.queue.is_idle


async def test_reconciles_under_way_end_before_the_process_does() -> None:
    async with a_scene() as scene:
        scene.gate.clear()
        scene.queue.add(QWEN_MODEL)
        await scene.until(lambda: len(scene.looked) == 1)
        finish = asyncio.create_task(scene.workers.finish(5))
        await asyncio.sleep(0)
        scene.gate.set()
        await finish
        assert scene.count("ok") == 1


async def test_a_reconcile_that_needs_too_long_is_stopped() -> None:
    async with a_scene() as scene:
        scene.gate.clear()
        scene.queue.add(QWEN_MODEL)
        await scene.until(lambda: len(scene.looked) == 1)
        await scene.workers.finish(0.01)
        await scene.until(lambda: scene.queue.is_idle)
        assert scene.count("ok") == 0


async def test_a_server_that_says_when_to_come_back_is_not_asked_before() -> None:
    async with a_scene() as scene:
        scene.outcome = lambda: Outcome(trouble=Overloaded("busy", retry_after_seconds=60))
        scene.queue.add(QWEN_MODEL)
        await scene.until(lambda: scene.count("error") == 1)
        assert (scene.queue.seconds_to_next() or 0) > 50


@pytest.mark.parametrize(("writes_per_second", "at_once"), [(0.2, 1), (1, 2), (5, 10), (50, 16)])
def test_a_low_rate_of_writes_is_shared_by_few_reconciles(writes_per_second: float, at_once: int) -> None:
    assert reconciles_at_once(writes_per_second) == at_once
