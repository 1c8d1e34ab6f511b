"""The models of this process by name. The HTTP layer asks it whom a request is for."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from berth_api.openai_errors import ErrorCode
from berth_api.suggestions import close_words
from berth_runtime.openai.errors import refuse
from berth_runtime.served import Served, ServedAdapter, ServedModel
from berth_runtime.supervision import State

Json = dict[str, Any]


class Catalog:
    """Every `--model`, in the order of the command line; `served` has their adapters too."""

    def __init__(self, models: Mapping[str, ServedModel], adapters: Iterable[ServedAdapter] = ()) -> None:
        self.models = models
        self.served: Mapping[str, Served] = {
            **models,
            **{adapter.name: adapter for adapter in adapters},
        }
        self.created = int(time.time())

    def find(self, name: object) -> Served:
        """The model that a request names; None will do where there is only one. Raises `ApiError`."""
        if name is None:
            if len(self.models) == 1:
                return next(iter(self.models.values()))
            message = f"'model' is missing; it is one of {self._listed()}."
            raise refuse(message, param="model", code=ErrorCode.MISSING_REQUIRED_PARAMETER)
        if not isinstance(name, str):
            raise refuse("'model' has to be a text.", param="model")
        found = self.served.get(name)
        if found is None:
            raise refuse(self._unknown(name), param="model", code=ErrorCode.MODEL_NOT_FOUND, status=404)
        return found

    @property
    def ready(self) -> bool:
        """True once every model answers."""
        return all(model.life.state is State.READY for model in self.models.values())

    def render_model(self, name: str) -> Json:
        """One entry of `/v1/models`."""
        return {"id": name, "object": "model", "created": self.created, "owned_by": "berth"}

    def render_status(self, *, draining: bool) -> Json:
        """The body of `/status`."""
        return {"models": [_render_state(model, draining=draining) for model in self.models.values()]}

    def _unknown(self, name: str) -> str:
        close = close_words(name, self.served)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else f" Served here: {self._listed()}."
        return f"The model {name[:200]!r} does not exist.{hint}"

    def _listed(self) -> str:
        return ", ".join(map(repr, self.served))


def _render_state(model: ServedModel, *, draining: bool) -> Json:
    life, resolved, running = model.life, model.resolved, model.running
    state = State.DRAINING if draining and life.state is State.READY else life.state
    return {
        "name": model.name,
        "engine": resolved.engine if resolved else None,
        "task": resolved.task if resolved else None,
        "format": resolved.format if resolved else None,
        "state": state,
        "message": life.message,
        "restarts": life.restarts,
        "retryInSeconds": model.retry_in_seconds,
        "stages": [{"name": name, "milliseconds": took} for name, took in model.stages.items()],
        "inFlight": running.admission.taken if running else 0,
        "queued": running.admission.queued if running else 0,
        "contextLength": running.capabilities.context_length if running else None,
        "parallelRequests": running.capabilities.parallel_requests if running else None,
    }
