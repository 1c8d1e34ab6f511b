"""How far pods are that do not answer yet, asked of the pods themselves. Used by observe.py within each reconcile.

While weights are fetched the init container tells, later the runtime. A pod that has just become Ready is asked once
more, because only then does the runtime know how long its last stages took.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from berth_kube.resources import Key, Object, uid_of
from berth_operator.ask import Ask, url_of
from berth_operator.children.metadata import is_leaving
from berth_operator.children.names import ENGINE_PORT, PROGRESS_PORT
from berth_operator.facts import PodProgress
from berth_operator.pods import condition_of, engine_of, fetch_of, is_ready, oldest_first, read_time

FRESH_SECONDS: Final = 1.0
"""A burst of events is no reason to ask a pod more often than this."""
MOST_ASKED: Final = 8
"""Of one Model's pods at once, the oldest first: hundreds that hang must not hold up the looks at other Models."""
_AFTERMATH: Final = timedelta(minutes=5)


class Part(Enum):
    """Who in a pod can tell how far it is."""

    LOADER = "loader"
    RUNTIME = "runtime"
    READY_RUNTIME = "ready runtime"


@dataclass(frozen=True)
class _Heard:
    progress: PodProgress
    part: Part
    at: float


class PodReports:
    """Asks the pods of Models and remembers what they said last. `clock` is monotonic seconds."""

    def __init__(self, ask: Ask, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._heard: dict[Key, dict[str, _Heard]] = {}

    async def read(self, model: Key, pods: Sequence[Object], now: datetime) -> dict[str, PodProgress]:
        """What each pod says, by the pod's name. Pods of which nothing was ever heard are left out."""
        before = self._heard.get(model, {})
        heard = {uid: before[uid] for pod in pods if (uid := uid_of(pod)) in before}
        due = [(pod, part) for pod in oldest_first(pods) if (part := self._due(pod, heard.get(uid_of(pod)), now))]
        asked = due[:MOST_ASKED]
        answers = await asyncio.gather(*(self._hear(pod, part, heard) for pod, part in asked))
        heard |= {uid_of(pod): answer for (pod, _), answer in zip(asked, answers, strict=True) if answer is not None}
        self._heard[model] = heard
        if not heard:
            self.forget(model)
        return {pod["metadata"]["name"]: heard[uid].progress for pod in pods if (uid := uid_of(pod)) in heard}

    def forget(self, model: Key) -> None:
        """The Model is gone, or none of its pods says anything."""
        self._heard.pop(model, None)

    def _due(self, pod: Object, before: _Heard | None, now: datetime) -> Part | None:
        part = whom_to_ask(pod, now)
        return None if part is None or (before is not None and self._is_enough(before, part)) else part

    async def _hear(self, pod: Object, part: Part, heard: Mapping[str, _Heard]) -> _Heard | None:
        port, path = (PROGRESS_PORT, "/progress") if part is Part.LOADER else (ENGINE_PORT, "/status")
        answer = await self._ask(url_of(pod["status"]["podIP"], port, path))
        if answer is None:
            return None
        before = heard.get(uid_of(pod))
        loader = before.progress.loader if before is not None else None
        if part is Part.LOADER:
            return _Heard(PodProgress(loader=answer), part, self._clock())
        return _Heard(PodProgress(loader=loader, runtime=answer), part, self._clock())

    def _is_enough(self, before: _Heard, part: Part) -> bool:
        if before.part is not part:
            return False
        return part is Part.READY_RUNTIME or self._clock() - before.at < FRESH_SECONDS


def whom_to_ask(pod: Object, now: datetime) -> Part | None:
    """Who in this pod can tell something that Kubernetes does not."""
    if is_leaving(pod) or not (pod.get("status") or {}).get("podIP"):
        return None
    fetch, engine = fetch_of(pod), engine_of(pod)
    if fetch is not None and fetch.is_running:
        return Part.LOADER
    if engine is None or not engine.is_running:
        return None
    if not is_ready(pod):
        return Part.RUNTIME
    ready_since = read_time(condition_of(pod, "Ready").get("lastTransitionTime"))
    return Part.READY_RUNTIME if ready_since is not None and now - ready_since < _AFTERMATH else None
