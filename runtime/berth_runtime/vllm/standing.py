"""How the one model of a vLLM stands: loading, ready, draining or gone, and why. The middleware keeps and shows it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from berth_api.artifact import EngineType, Format, Task
from berth_runtime.admission import QUEUE_PER_PLACE, overloaded
from berth_runtime.drain import Drain
from berth_runtime.engines.protocol import Capabilities, Failure
from berth_runtime.openai.errors import ApiError
from berth_runtime.routes.frame import SHUTTING_DOWN
from berth_runtime.served import LOADING_RETRY_SECONDS
from berth_runtime.supervision import Standing, State
from berth_runtime.vllm.answers import engine_died

RETRY_AFTER_SECONDS = 1


@dataclass
class ModelStanding:
    """The life of the model, as far as HTTP has to know. `capabilities` are there once the server is up."""

    name: str
    task: Task
    drain: Drain
    started: float
    state: State = State.LOADING
    message: str = ""
    capabilities: Capabilities | None = None
    stages: dict[str, int] = field(default_factory=dict)
    _since: float = 0.0

    def has_loaded(self, capabilities: Capabilities) -> None:
        """vLLM's server is up, with an engine behind it."""
        self.capabilities = capabilities
        self._since = time.monotonic()
        self.stages["Loaded"] = round((self._since - self.started) * 1000)

    def has_answered(self) -> None:
        """There was a token."""
        self.state, self.message = State.READY, ""
        self.stages["Answered"] = round((time.monotonic() - self._since) * 1000)

    def has_died(self) -> None:
        """The engine is gone."""
        self.state, self.message = State.FAILED, "The engine ended."

    def why_not_ready(self) -> ApiError | None:
        """What a probe and a request are told; None where the model answers."""
        if self.state is State.FAILED:
            return ApiError(engine_died(self.name), retry_after_seconds=LOADING_RETRY_SECONDS)
        if self.drain.draining:
            return ApiError(SHUTTING_DOWN, retry_after_seconds=RETRY_AFTER_SECONDS)
        if self.state is not State.READY:
            message = f"The model {self.name!r} is not ready yet. {self.message}".strip()
            return ApiError(Failure(503, "model_loading", message, "model"), retry_after_seconds=LOADING_RETRY_SECONDS)
        return None

    def require_room(self) -> None:
        """Raises `ApiError` where too many wait already: vLLM's own queue has no end."""
        taken, queued = self.taken, self.queued
        if queued > self.places * QUEUE_PER_PLACE:
            raise ApiError(overloaded(taken, queued - 1), retry_after_seconds=RETRY_AFTER_SECONDS)

    @property
    def places(self) -> int:
        """Requests that vLLM works on at once."""
        return self.capabilities.parallel_requests if self.capabilities else 0

    @property
    def taken(self) -> int:
        """Requests that vLLM works on now."""
        return min(self.drain.in_flight, self.places)

    @property
    def queued(self) -> int:
        """Requests that wait in vLLM."""
        return self.drain.in_flight - self.taken

    def standings(self) -> Iterator[Standing]:
        """The model in figures."""
        yield Standing(
            name=self.name, state=self.shown_state, running=self.taken, queued=self.queued, places=self.places
        )

    @property
    def shown_state(self) -> State:
        """The state, as `/status` says it."""
        return State.DRAINING if self.drain.draining and self.state is State.READY else self.state

    def render_status(self) -> dict[str, Any]:
        """The body of `/status`, in the form of every runtime here."""
        return {
            "models": [
                {
                    "name": self.name,
                    "engine": EngineType.VLLM,
                    "task": self.task,
                    "format": Format.SAFETENSORS,
                    "state": self.shown_state,
                    "message": self.message,
                    "restarts": 0,
                    "retryInSeconds": None,
                    "stages": [{"name": name, "milliseconds": took} for name, took in self.stages.items()],
                    "inFlight": self.taken,
                    "queued": self.queued,
                    "contextLength": self.capabilities.context_length if self.capabilities else None,
                    "parallelRequests": self.capabilities.parallel_requests if self.capabilities else None,
                }
            ]
        }
