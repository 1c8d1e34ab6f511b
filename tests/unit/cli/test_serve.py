"""A whole instance on fakes: what it starts, keeps, replaces and stops when manifests and processes change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fake_laptop import FakeGateway, FakeLauncher, FakePreparer, FakeProbe
from model_builders import a_model, a_route

from berth_api.errors import BerthError, FieldError, InvalidSpec, Unavailable, UnsupportedModel
from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_cli.laptop import replica, serve
from berth_cli.laptop.parts import EngineStatus
from berth_cli.laptop.serve import Instance, Parts
from berth_cli.laptop.view import ModelStage, ModelView
from berth_cli.manifests.read import Manifest, Reading
from berth_gateway.snapshot import Endpoint, Phase

pytestmark = pytest.mark.timeout(30)


class Laptop:
    """An instance and the fakes around it."""

    def __init__(self, logs: Path) -> None:
        self.preparer = FakePreparer()
        self.launcher = FakeLauncher()
        self.probe = FakeProbe(self.launcher)
        self.gateway = FakeGateway()
        self.room_bytes: int | None = None
        self.instance = Instance(
            Parts(
                preparer=self.preparer,
                launcher=self.launcher,
                probe=self.probe,
                gateway=self.gateway,
                logs=logs,
                choose_port=lambda: len(self.launcher.processes) + 1,
                observe_room_bytes=lambda: self.room_bytes,
            ),
            address="http://127.0.0.1:8080",
        )

    def take(self, *objects: Model | ModelRoute, applied: bool = False) -> int:
        manifests = tuple(Manifest(one, "m.yaml", 1) for one in objects)
        return self.instance.take(Reading(manifests), applied=applied)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.01)

    async def settled(self, revision: int) -> None:
        await self.until(lambda: self.view.revision >= revision and self.view.settled)

    @property
    def view(self):  # type: ignore[no-untyped-def]
        return self.instance.views.value

    def model(self, key: str = "default/a") -> ModelView:
        return next(one for one in self.view.models if one.key == key)

    def endpoints(self, key: str = "default/a") -> tuple[Endpoint, ...]:
        return self.gateway.states[key].endpoints


@asynccontextmanager
async def running(laptop: Laptop) -> AsyncIterator[Laptop]:
    task = asyncio.create_task(laptop.instance.run())
    try:
        yield laptop
    finally:
        laptop.instance.stop()
        await asyncio.wait_for(task, 20)
        assert laptop.launcher.running == []


@pytest.fixture
async def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Laptop]:
    monkeypatch.setattr(replica, "STARTING_POLL_SECONDS", 0.01)
    monkeypatch.setattr(replica, "READY_POLL_SECONDS", 0.01)
    monkeypatch.setattr(serve, "GATEWAY_RETRY_SECONDS", 0.05)
    async with running(Laptop(tmp_path)) as started:
        yield started


async def test_a_model_is_prepared_started_and_routed_to(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a")))
    assert laptop.launcher.running == ["default/a@None"]
    assert laptop.gateway.states["default/a"].phase is Phase.READY
    assert laptop.endpoints() == (Endpoint("127.0.0.1", 1),)
    assert laptop.model().stage is ModelStage.READY


async def test_the_gateway_knows_a_model_before_it_is_ready(laptop: Laptop) -> None:
    laptop.probe.statuses["default/a@None"] = EngineStatus(answering=True, message="reading weights")
    laptop.take(a_model("a"))
    await laptop.until(lambda: laptop.view.models and laptop.model().stage is ModelStage.LOADING)
    await laptop.until(lambda: laptop.gateway.states["default/a"].phase is Phase.LOADING)
    assert laptop.gateway.states["default/a"].phase is Phase.LOADING
    assert laptop.model().message == "reading weights"
    assert not laptop.view.settled


async def test_a_change_of_names_and_routes_restarts_nothing(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a")))
    await laptop.settled(laptop.take(a_model("a", aliases=["b"]), a_route("chat", backends={"a": 1})))
    await laptop.until(lambda: list(laptop.gateway.applied[-1].routes) == ["default/chat"])
    assert len(laptop.launcher.processes) == 1
    assert laptop.preparer.calls == ["default/a"]


async def test_an_apply_without_a_change_looks_again_and_restarts_nothing(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a"), applied=True))
    await laptop.settled(laptop.take(a_model("a"), applied=True))
    assert laptop.preparer.calls == ["default/a", "default/a"]
    assert len(laptop.launcher.processes) == 1


async def test_a_changed_launch_takes_over_when_it_is_ready(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a")))
    laptop.probe.statuses["default/a@64"] = EngineStatus(answering=True)
    revision = laptop.take(a_model("a", context_length=64))
    await laptop.until(lambda: len(laptop.launcher.running) == 2)
    await laptop.until(lambda: laptop.model().stage is ModelStage.LOADING)
    assert laptop.model().serving
    assert laptop.endpoints() == (Endpoint("127.0.0.1", 1),)
    del laptop.probe.statuses["default/a@64"]
    await laptop.settled(revision)
    await laptop.until(lambda: laptop.launcher.running == ["default/a@64"])
    await laptop.until(lambda: laptop.endpoints() == (Endpoint("127.0.0.1", 2),))


async def test_the_old_process_is_told_to_drain_only_after_the_gateway_has_left_it(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a")))
    laptop.gateway.failures = [BerthError("no")] * 3
    laptop.take(a_model("a", context_length=64))
    await laptop.until(lambda: "no" in laptop.view.trouble)
    assert "default/a@None" in laptop.launcher.running
    await laptop.until(lambda: laptop.launcher.running == ["default/a@64"])
    await laptop.until(lambda: laptop.view.trouble == "")
    left = [one.models["default/a"].state.endpoints for one in laptop.gateway.applied if one.models]
    assert any(Endpoint("127.0.0.1", 1, draining=True) in endpoints for endpoints in left)


async def test_a_new_version_that_cannot_load_is_shown_and_the_old_one_serves_on(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a")))
    laptop.probe.statuses["default/a@64"] = EngineStatus(answering=True, failed=True, message="the file is cut")
    await laptop.settled(laptop.take(a_model("a", context_length=64)))
    assert laptop.model().failure == "the file is cut"
    assert laptop.model().serving
    assert laptop.gateway.states["default/a"].phase is Phase.READY
    await laptop.settled(laptop.take(a_model("a")))
    assert laptop.model().failure == ""
    await laptop.until(lambda: laptop.launcher.running == ["default/a@None"])


async def test_one_failing_model_does_not_stop_the_others(laptop: Laptop) -> None:
    laptop.preparer.failures["default/a"] = [UnsupportedModel("no model in it")]
    await laptop.settled(laptop.take(a_model("a"), a_model("b")))
    assert laptop.model("default/a").failure == "no model in it"
    assert laptop.gateway.states["default/a"].phase is Phase.FAILED
    assert laptop.model("default/b").serving


async def test_a_field_that_only_the_artifact_proves_wrong_is_shown_with_its_line(laptop: Laptop) -> None:
    wrong = FieldError("spec.engine.type", "loads other weights", "leave it out")
    laptop.preparer.failures["default/a"] = [InvalidSpec(wrong)]
    manifest = Manifest(a_model("a"), "m.yaml", 1, {"spec": 4, "spec.engine": 7, "spec.engine.type": 8})
    await laptop.settled(laptop.instance.take(Reading((manifest,)), applied=True))
    assert laptop.model().failure == "m.yaml:8: spec.engine.type: loads other weights\n    leave it out"


async def test_a_model_is_asked_by_the_name_that_it_owns(laptop: Laptop) -> None:
    hidden = a_model("hidden", exposure="RoutesOnly")
    await laptop.settled(laptop.take(a_model("a"), a_model("a", namespace="other"), hidden))
    assert [model.ask_as for model in laptop.view.models] == ["a", "other/a", ""]


async def test_a_route_to_nothing_is_noted(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_route("chat", backends={"nothing": 1})))
    await laptop.until(lambda: laptop.view.notes)
    assert laptop.view.notes == ("ModelRoute default/chat: the Model default/nothing does not exist",)


async def test_a_source_that_comes_back_is_found_without_an_edit(laptop: Laptop) -> None:
    laptop.preparer.failures["default/a"] = [Unavailable("the registry does not answer")]
    await laptop.settled(laptop.take(a_model("a")))
    assert laptop.model().failure == "the registry does not answer"
    await laptop.until(lambda: laptop.model().serving)
    assert laptop.model().failure == ""


async def test_a_process_that_dies_is_replaced(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a")))
    laptop.launcher.processes[0].end(-9)
    await laptop.until(lambda: laptop.gateway.states["default/a"].phase is Phase.LOADING)
    await laptop.until(lambda: len(laptop.launcher.processes) == 2 and laptop.model().stage is ModelStage.READY)
    await laptop.until(lambda: laptop.endpoints() == (Endpoint("127.0.0.1", 2),))
    assert laptop.model().restarts == 1


async def test_a_process_that_keeps_dying_is_called_failed_and_tried_again(laptop: Laptop) -> None:
    laptop.launcher.refusal = OSError(12, "Cannot allocate memory")
    await laptop.settled(laptop.take(a_model("a")))
    assert laptop.model().failure == "the engine can't be started: Cannot allocate memory"
    laptop.launcher.refusal = None
    await laptop.until(lambda: laptop.model().serving)
    assert laptop.model().failure == ""


async def test_an_engine_that_is_not_ready_any_more_gets_no_requests(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a")))
    laptop.probe.statuses["default/a@None"] = EngineStatus(answering=True, message="the worker is restarted")
    await laptop.until(lambda: laptop.gateway.states["default/a"].phase is Phase.LOADING)
    assert laptop.launcher.running == ["default/a@None"]
    laptop.probe.statuses.clear()
    await laptop.until(lambda: laptop.gateway.states["default/a"].phase is Phase.READY)
    assert len(laptop.launcher.processes) == 1


async def test_a_process_that_gives_no_sign_of_life_is_replaced(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "Timing", lambda **known: replica.Timing(**known, silence_seconds=0.05))
    await laptop.settled(laptop.take(a_model("a")))
    laptop.probe.statuses["default/a@None"] = EngineStatus()
    await laptop.until(lambda: not laptop.launcher.processes[0].is_running)
    laptop.probe.statuses.clear()
    await laptop.until(lambda: laptop.model().stage is ModelStage.READY)


async def test_a_suspended_model_is_drained_and_comes_back(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a")))
    await laptop.settled(laptop.take(a_model("a", suspend=True)))
    await laptop.until(lambda: laptop.launcher.running == [] and laptop.model().stage is ModelStage.SUSPENDED)
    assert laptop.gateway.states["default/a"].phase is Phase.SUSPENDED
    await laptop.settled(laptop.take(a_model("a")))
    assert laptop.launcher.running == ["default/a@None"]


async def test_a_removed_model_leaves_the_gateway_and_ends(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("a"), a_model("b")))
    laptop.take(a_model("b"))
    await laptop.until(lambda: laptop.launcher.running == ["default/b@None"])
    await laptop.until(lambda: [model.key for model in laptop.view.models] == ["default/b"])
    assert list(laptop.gateway.applied[-1].models) == ["default/b"]


async def test_without_memory_for_two_the_old_one_ends_before_the_new_one_starts(laptop: Laptop) -> None:
    laptop.room_bytes = 10
    await laptop.settled(laptop.take(a_model("a")))
    await laptop.settled(laptop.take(a_model("a", context_length=64)))
    assert [process.fingerprint for process in laptop.launcher.processes] == ["default/a@None", "default/a@64"]
    assert laptop.launcher.running == ["default/a@64"]


async def test_a_name_belongs_to_who_asked_for_it_first(laptop: Laptop) -> None:
    await laptop.settled(laptop.take(a_model("z", aliases=["chat"])))
    laptop.take(a_model("z", aliases=["chat"]), a_model("a", aliases=["chat"]))
    await laptop.until(lambda: laptop.view.notes)
    assert laptop.view.notes[0].startswith("Model default/a: the name `chat` belongs to the Model default/z")


async def test_stopping_tells_the_gateway_first_and_ends_all(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    async with running(laptop):
        await laptop.settled(laptop.take(a_model("a")))
    state = laptop.gateway.states["default/a"]
    assert (state.phase, state.message) == (Phase.LOADING, "the server is stopping")
    assert laptop.view.stopping


async def test_a_model_that_stops_is_only_ever_shown_as_draining_and_stopped(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    seen: list[tuple[str, ModelStage]] = []

    async def watch() -> None:
        async for view in laptop.instance.views.follow():
            seen.extend((model.key, model.stage) for model in view.models if view.stopping)

    laptop.launcher.stubborn = True
    async with running(laptop):
        await laptop.settled(laptop.take(a_model("a"), a_model("b")))
        watcher = asyncio.create_task(watch())
        laptop.instance.stop()
        await laptop.until(lambda: ("default/b", ModelStage.DRAINING) in seen)
        laptop.launcher.processes[0].end(0)
        await laptop.until(lambda: ("default/a", ModelStage.STOPPED) in seen)
        laptop.launcher.processes[1].end(0)
    watcher.cancel()
    assert {stage for _, stage in seen} == {ModelStage.DRAINING, ModelStage.STOPPED}


async def test_stopping_at_once_does_not_wait_for_requests(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.launcher.stubborn = True
    async with running(laptop):
        await laptop.settled(laptop.take(a_model("a")))
        started = asyncio.get_running_loop().time()
        laptop.instance.stop_at_once()
        await laptop.until(lambda: laptop.launcher.running == [])
        assert asyncio.get_running_loop().time() - started < serve.STOP_SECONDS / 2


async def test_stopping_ends_what_does_not_drain_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "STOP_SECONDS", 0.2)
    laptop = Laptop(tmp_path)
    laptop.launcher.stubborn = True
    async with running(laptop):
        await laptop.settled(laptop.take(a_model("a")))
