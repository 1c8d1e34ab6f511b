"""How far a start has come: `status.loading` while it goes on, `status.stages` for what each stage took."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from berth_api.conditions import Reason
from berth_api.model_status import Loading, Stage, StageTime
from berth_api.sizes import size_words
from berth_kube.resources import Object
from berth_operator.facts import PodProgress, first_model
from berth_operator.findings import Finding
from berth_operator.pods import (
    Container,
    Ending,
    condition_of,
    engine_of,
    fetch_of,
    fetches_of,
    has_ended,
    is_ready,
    is_true,
    oldest_first,
    read_time,
)

WRITE_EACH_PERCENT: Final = 10
WRITE_EACH_SECONDS: Final = 15
_MOST: Final = 2**63 - 1


@dataclass(frozen=True)
class Step:
    """One step of a start, as `Progressing` and `status.loading` name it; steps are listed in their order."""

    reason: Reason
    stage: str
    words: str


SCHEDULING: Final = Step(Reason.ROLLING_OUT, "Scheduling", "the scheduler looks for a node")
PULLING: Final = Step(Reason.PULLING_IMAGE, "PullingImage", "the images are being pulled")
FETCHING: Final = Step(Reason.FETCHING, "Fetching", "the files are being fetched")
LOADING: Final = Step(Reason.LOADING, "Loading", "the engine loads the model")
STEPS: Final = (SCHEDULING, PULLING, FETCHING, LOADING)


def step_of(pod: Object) -> Step:
    """The step that a pod is in which does not answer yet."""
    if not is_true(pod, "PodScheduled"):
        return SCHEDULING
    fetch, engine = fetch_of(pod), engine_of(pod)
    if engine is not None and (engine.is_running or engine.ended is not None):
        return LOADING
    if fetch is not None and fetch.is_running:
        return FETCHING
    return PULLING


def furthest(pods: Sequence[Object]) -> Object | None:
    """The pod that will answer first; None where there is none on its way."""
    living = [pod for pod in oldest_first(pods) if not has_ended(pod)]
    return max(living, key=lambda pod: STEPS.index(step_of(pod)), default=None)


def describe_start(pod: Object, progress: PodProgress) -> Finding:
    """What is going on in a pod that does not answer yet."""
    step, loading = step_of(pod), observe_loading(pod, progress)
    words = step.words
    if loading.percent is not None and loading.bytes_total is not None:
        words += (
            f": {loading.percent // WRITE_EACH_PERCENT * WRITE_EACH_PERCENT} % of {size_words(loading.bytes_total)}"
        )
    return Finding(step.reason, words)


def observe_loading(pod: Object, progress: PodProgress) -> Loading:
    """The figures of a start; those of the loader only while it fetches."""
    step = step_of(pod)
    said = progress.loader or {}
    if step is not FETCHING:
        return Loading(stage=step.stage)
    done, total = _count(said.get("bytesDone")), _count(said.get("bytesTotal"))
    percent = min(done * 100 // total, 100) if done is not None and total else None
    seconds = _count(said.get("secondsLeft"))
    return Loading(stage=step.stage, percent=percent, bytes_done=done, bytes_total=total, seconds_left=seconds)


def keep_loading(shown: Loading | None, seen: Loading, now: datetime) -> Loading:
    """What to show: what is shown already, until the stage, ten percent or 15 s have passed."""
    if shown is None or shown.stage != seen.stage or shown.time is None:
        return seen.model_copy(update={"time": now})
    if shown.model_copy(update={"time": None}) == seen:
        return shown
    # A pod that is replaced begins anew, and then the percentage falls.
    moved = shown.percent is None or seen.percent is None or abs(seen.percent - shown.percent) >= WRITE_EACH_PERCENT
    if moved or (now - shown.time).total_seconds() >= WRITE_EACH_SECONDS:
        return seen.model_copy(update={"time": now})
    return shown


@dataclass(frozen=True)
class SeenStages:
    """What is seen of a start now, in milliseconds. `answered` is the kubelet's view, whose clock has whole seconds."""

    measured: Mapping[Stage, int] = field(default_factory=dict)
    answered: int | None = None


def observe_stages(pods: Sequence[Object], progress: Mapping[str, PodProgress]) -> SeenStages:
    """What each stage of a start took, of the first pod that answers or else of the furthest."""
    ready = [pod for pod in oldest_first(pods) if is_ready(pod)]
    pod = ready[0] if ready else furthest(pods)
    if pod is None:
        return SeenStages()
    engine, said = engine_of(pod), progress.get(pod["metadata"]["name"], PodProgress())
    started = engine.started if engine is not None else None
    measured = dict((*_pod_stages(pod), *_runtime_stages(said)))
    return SeenStages(measured, _milliseconds(started, _since(pod, "Ready")))


def merge_stages(
    shown: Sequence[StageTime], seen: SeenStages, *, resolved: int | None, same_start: bool
) -> tuple[StageTime, ...]:
    """The stages to show: what is seen now, and of the same start also what could be seen only then."""
    known = {time.name: time.milliseconds for time in shown if same_start or time.name == Stage.RESOLVED}
    if seen.answered is not None:
        known.setdefault(Stage.ANSWERED, seen.answered)
    known |= {str(stage): took for stage, took in seen.measured.items()}
    if resolved is not None:
        known[Stage.RESOLVED] = resolved
    return tuple(StageTime(name=stage, milliseconds=known[stage]) for stage in Stage if stage in known)


def _pod_stages(pod: Object) -> Iterator[tuple[Stage, int]]:
    scheduled, fetches = _since(pod, "PodScheduled"), fetches_of(pod)
    yield from _took(Stage.SCHEDULED, read_time(pod["metadata"].get("creationTimestamp")), scheduled)
    ended = [fetch.ended for fetch in fetches if fetch.has_done and fetch.ended is not None]
    if ended and len(ended) == len(fetches):
        first, last = ended[0], ended[-1]
        yield from _images_pulled(_milliseconds(scheduled, first.started), last, engine_of(pod))
        yield from _took(Stage.FETCHED, first.started, last.finished)


def _images_pulled(before: int | None, fetch: Ending, engine: Container | None) -> Iterator[tuple[Stage, int]]:
    """The loader's image is pulled before the files, the engine's after them; an engine that restarts tells nothing."""
    after = _milliseconds(fetch.finished, engine.started) if engine is not None and not engine.restarts else None
    if before is not None and after is not None:
        yield Stage.IMAGE_PULLED, before + after


def _took(stage: Stage, start: datetime | None, end: datetime | None) -> Iterator[tuple[Stage, int]]:
    took = _milliseconds(start, end)
    if took is not None:
        yield stage, took


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None:
        return None
    return max(round((end - start).total_seconds() * 1000), 0)


def _since(pod: Object, condition: str) -> datetime | None:
    found = condition_of(pod, condition)
    return read_time(found.get("lastTransitionTime")) if found.get("status") == "True" else None


def _runtime_stages(progress: PodProgress) -> Iterator[tuple[Stage, int]]:
    """The runtime measures finer than the kubelet's whole seconds; it is asked while a pod is not ready."""
    stages = first_model(progress).get("stages")
    for said in stages if isinstance(stages, list) else ():
        took = _count(said.get("milliseconds")) if isinstance(said, Mapping) else None
        if took is not None and said.get("name") in (Stage.LOADED, Stage.ANSWERED):
            yield Stage(said["name"]), took


def _count(found: object) -> int | None:
    """A figure of a stranger: a whole number that is not negative, or nothing."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= _MOST:
        return None
    return int(found)
