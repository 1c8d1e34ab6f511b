"""One served model: its worker kept alive, its requests let in. `berth_runtime.server` runs one for each `--model`."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from berth_api.artifact import EngineType, Format, Task
from berth_api.errors import InvalidSpec, Unavailable, UnsupportedModel
from berth_runtime.admission import Admission
from berth_runtime.channel import WorkerChannel
from berth_runtime.diagnosis import explain_exit
from berth_runtime.engines.protocol import Capabilities, Failure, Request
from berth_runtime.exchange import Exchange
from berth_runtime.frames import Frame, FrameKind
from berth_runtime.messages import Answered, Loaded, LoadOrder, LoadRefused, Outcome, unpack_news
from berth_runtime.openai.errors import ApiError
from berth_runtime.process import WorkerProcess
from berth_runtime.supervision import Cause, Life, State, after_answer, after_failure, after_restart

LOADING_RETRY_SECONDS: Final = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResolvedModel:
    """What a path turned out to be, and what its worker is told."""

    engine: EngineType
    task: Task
    format: Format
    order: LoadOrder


Resolve = Callable[[], Awaitable[ResolvedModel]]


@dataclass(frozen=True)
class Running:
    """A worker that has answered: what it can do, who may ask it, and how."""

    capabilities: Capabilities
    admission: Admission
    channel: WorkerChannel


class ServedModel:
    """A model under the name that it is served as.

    `resolve` is called once for each life of a worker, `on_outcome` when an engine has ended its work on a request.
    """

    def __init__(self, name: str, resolve: Resolve, on_outcome: Callable[[Outcome], None]) -> None:
        self.name = name
        self.life = Life()
        self.stages: dict[str, int] = {}
        self.resolved: ResolvedModel | None = None
        self.running: Running | None = None
        self._resolve = resolve
        self._on_outcome = on_outcome
        self.worker: WorkerProcess | None = None
        self._capabilities: Capabilities | None = None
        self._listens = False
        self._refused: str | None = None
        self._started = 0.0
        self._ended = 0.0

    async def run(self) -> None:
        """Keep a worker alive until cancelled, or until trying again can't help."""
        try:
            while True:
                cause = await self._live_once()
                self._ended = time.monotonic()
                self._set_life(after_failure(self.life, cause, self._ended))
                if self.life.again_after_seconds is None:
                    return
                await asyncio.sleep(self.life.again_after_seconds)
                self._set_life(after_restart(self.life))
        finally:
            if self.worker is not None:
                await self.worker.stop()

    @property
    def retry_in_seconds(self) -> float | None:
        """Until the next try; None where none is due, because the model is there, is being tried, or can't be."""
        wait = self.life.again_after_seconds
        return None if wait is None else round(max(0.0, self._ended + wait - time.monotonic()), 3)

    async def open(self, request: Request, weight: int = 1) -> Exchange:
        """Have the engine work on a request, when its turn has come. Raises `ApiError` if that can't be."""
        running = self.require_running()
        taken = await running.admission.enter(weight)
        self._require_same(running, taken)

        def release(outcome: Outcome) -> None:
            running.admission.leave(taken)
            self._on_outcome(outcome)

        return running.channel.open(request, release)

    def require_running(self) -> Running:
        """The running worker; raises `ApiError` if there is none."""
        if self.running is None:
            raise self._unavailable()
        return self.running

    def _require_same(self, running: Running, taken: int) -> None:
        """The worker may have died between the turn and its use."""
        if self.running is not running:
            running.admission.leave(taken)
            raise self._unavailable()

    def end_requests(self, failure: Failure) -> None:
        """End what is still running, because time is up."""
        if self.running is not None:
            self.running.admission.close(ApiError(failure))
            for exchange in self.running.channel.exchanges:
                exchange.fail(failure)

    async def _live_once(self) -> Cause:
        """One life of a worker, to its end."""
        self._started = time.monotonic()
        self.stages, self._listens, self._refused, self._capabilities = {}, False, None, None
        # Its imports take about as long as the look at the files does, so both are done at once.
        try:
            worker = self.worker = await WorkerProcess.start(self.name, self._take_news)
        except OSError as error:
            return Cause(f"A worker process could not be started: {error}")
        resolved = await self._resolve_or_say_why()
        if isinstance(resolved, Cause):
            await worker.stop()
            self.worker = None
            return resolved
        self.resolved = resolved
        self._stage_ended("Detected")
        self._note_spawned()
        worker.channel.load(resolved.order)
        status = await worker.wait()
        self.worker = None
        cause = self._why_ended(status, worker.said)
        self._end_running(cause)
        return cause

    async def _resolve_or_say_why(self) -> ResolvedModel | Cause:
        try:
            return await self._resolve()
        except (UnsupportedModel, InvalidSpec) as error:
            return Cause(str(error), permanent=True)
        except Unavailable as error:
            return Cause(str(error))
        except OSError as error:
            return Cause(f"The model could not be looked at: {error}")

    def _why_ended(self, status: int, said: str) -> Cause:
        return explain_exit(status, said) if self._refused is None else Cause(self._refused, permanent=True)

    def _take_news(self, frame: Frame) -> None:
        if frame.kind is FrameKind.STARTED:
            self._listens = True
            self._note_spawned()
            return
        match unpack_news(frame):
            case Loaded(capabilities, milliseconds):
                self.stages["Loaded"] = milliseconds
                self._capabilities = capabilities
            case Answered(milliseconds):
                self.stages["Answered"] = milliseconds
                self._begin_running()
            case LoadRefused(message):
                self._refused = message

    def _begin_running(self) -> None:
        assert self._capabilities is not None
        assert self.worker is not None
        admission = Admission(self._capabilities.parallel_requests)
        self.running = Running(self._capabilities, admission, self.worker.channel)
        self._set_life(after_answer(self.life, time.monotonic()))

    def _end_running(self, cause: Cause) -> None:
        running, self.running = self.running, None
        if running is not None:
            running.admission.close(self._unavailable())
            running.channel.end_all(Failure(502, "engine_died", f"The engine of {self.name!r} ended: {cause.sentence}"))

    def _note_spawned(self) -> None:
        """The stage ends when the worker listens and the files are known; it takes no time where the worker waited."""
        if self._listens and "Detected" in self.stages:
            self._stage_ended("Spawned")

    def _stage_ended(self, name: str) -> None:
        now = time.monotonic()
        self.stages[name] = round((now - self._started) * 1000)
        self._started = now

    def _set_life(self, life: Life) -> None:
        self.life = life
        log.log(
            logging.INFO if life.state is State.READY else logging.WARNING,
            "model is " + life.state.lower(),
            extra={"model": self.name, "reason": life.message, "stages": self.stages, "restarts": life.restarts},
        )

    def _unavailable(self) -> ApiError:
        life = self.life
        if life.state is State.FAILED and life.again_after_seconds is None:
            message = f"The model {self.name!r} can't be served: {life.message}"
            return ApiError(Failure(503, "model_failed", message, "model"))
        message = f"The model {self.name!r} is not ready yet." + (f" {life.message}" if life.message else "")
        return ApiError(Failure(503, "model_loading", message, "model"), retry_after_seconds=LOADING_RETRY_SECONDS)


class ServedAdapter:
    """An adapter of a model under its own name, `<model>:<adapter>`; the model's worker does the work."""

    def __init__(self, model: ServedModel, adapter: str) -> None:
        self.name = f"{model.name}:{adapter}"
        self._model = model

    def require_running(self) -> Running:
        """The model's running worker; raises `ApiError` if there is none."""
        return self._model.require_running()

    async def open(self, request: Request, weight: int = 1) -> Exchange:
        """Have the engine work on a request, when its turn has come. Raises `ApiError` if that can't be."""
        return await self._model.open(request, weight)


Served = ServedModel | ServedAdapter
"""Whom a request may be for."""
