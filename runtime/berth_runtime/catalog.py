"""The models of this process by name. The HTTP layer asks it whom a request is for."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from berth_runtime.openai.models import find_name, render_model
from berth_runtime.served import Served, ServedAdapter, ServedModel
from berth_runtime.supervision import Standing, State

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
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))  # its adapters are asked for by name
        return self.served[find_name(name, self.served)]

    @property
    def ready(self) -> bool:
        """True once every model answers."""
        return all(model.life.state is State.READY for model in self.models.values())

    def standings(self) -> Iterator[Standing]:
        """Each model in figures."""
        for name, model in self.models.items():
            admission = model.running.admission if model.running else None
            yield Standing(
                name=name,
                state=model.life.state,
                running=admission.taken if admission else 0,
                queued=admission.queued if admission else 0,
                places=admission.places if admission else 0,
                restarts=model.life.restarts,
            )

    def render_model(self, name: str) -> Json:
        """One entry of `/v1/models`."""
        return render_model(name, self.created)

    def render_status(self, *, draining: bool) -> Json:
        """The body of `/status`."""
        return {"models": [_render_state(model, draining=draining) for model in self.models.values()]}


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
