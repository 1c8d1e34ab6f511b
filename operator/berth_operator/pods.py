"""What is read from pods: their phase, conditions and containers. Other programs write them, so nothing is required."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from berth_api.names import LABEL_LOADING, LABEL_REVISION
from berth_kube.resources import Object
from berth_operator.children.metadata import is_leaving
from berth_operator.children.names import ENGINE_CONTAINER, FETCH_CONTAINER, RESOLVE_CONTAINER

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Container:
    """One container's status. `state` and `before` are what the kubelet calls `state` and `lastState`."""

    name: str
    image: str
    restarts: int
    state: Mapping[str, Any]
    before: Mapping[str, Any]

    @property
    def waiting(self) -> str:
        """Why it does not run, in the kubelet's word; empty where it runs or has ended."""
        return str((self.state.get("waiting") or _NOTHING).get("reason") or "")

    @property
    def waiting_message(self) -> str:
        """The same in a sentence."""
        return str((self.state.get("waiting") or _NOTHING).get("message") or "")

    @property
    def started(self) -> datetime | None:
        """When it started, if it runs."""
        return read_time((self.state.get("running") or _NOTHING).get("startedAt"))

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return "running" in self.state

    @property
    def ended(self) -> "Ending | None":
        """How it ended, now or the time before."""
        found = self.state.get("terminated") or self.before.get("terminated")
        return Ending.read(found) if found else None

    @property
    def has_done(self) -> bool:
        """Whether it has ended well and stays so."""
        terminated = self.state.get("terminated")
        return terminated is not None and terminated.get("exitCode") == 0


@dataclass(frozen=True)
class Ending:
    """How a container ended: `message` is its termination message."""

    code: int
    reason: str
    message: str
    started: datetime | None
    finished: datetime | None

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> "Ending":
        """From the kubelet's `terminated`."""
        return cls(
            code=int(found.get("exitCode") or 0),
            reason=str(found.get("reason") or ""),
            message=str(found.get("message") or ""),
            started=read_time(found.get("startedAt")),
            finished=read_time(found.get("finishedAt")),
        )

    @property
    def lasted_seconds(self) -> float:
        """From start to end; 0 where the kubelet does not know."""
        if self.started is None or self.finished is None:
            return 0.0
        return (self.finished - self.started).total_seconds()


def containers_of(pod: Object) -> tuple[Container, ...]:
    """All containers that have a status, those that go first first."""
    status = pod.get("status", {})
    found = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return tuple(_container(one) for one in found)


def fetches_of(pod: Object) -> tuple[Container, ...]:
    """The loaders in the order in which they run: the model's, and one for each extra."""
    found = (_container(one) for one in pod.get("status", {}).get("initContainerStatuses") or ())
    return tuple(one for one in found if one.name.partition("-")[0] == FETCH_CONTAINER)


def fetch_of(pod: Object) -> Container | None:
    """The loader whose turn it is, or the last one where all have done their work."""
    fetches = fetches_of(pod)
    return next((fetch for fetch in fetches if not fetch.has_done), fetches[-1] if fetches else None)


def engine_of(pod: Object) -> Container | None:
    """The engine."""
    return _named(pod.get("status", {}).get("containerStatuses"), ENGINE_CONTAINER)


def resolver_of(pod: Object) -> Container | None:
    """The resolver, in the pod of a Job."""
    return _named(pod.get("status", {}).get("containerStatuses"), RESOLVE_CONTAINER)


def container_of(pod: Object, name: str) -> Container | None:
    """Any other container, by its name."""
    return _named(pod.get("status", {}).get("containerStatuses"), name)


def condition_of(pod: Object, kind: str) -> Mapping[str, Any]:
    """A condition of a pod, Job or Deployment; empty where nothing was said."""
    found = pod.get("status", {}).get("conditions") or ()
    return next((one for one in found if one.get("type") == kind), _NOTHING)


def is_true(obj: Object, kind: str) -> bool:
    """Whether the condition is True."""
    return condition_of(obj, kind).get("status") == "True"


def is_ready(pod: Object) -> bool:
    """Whether it takes requests."""
    return is_true(pod, "Ready") and not is_leaving(pod)


def has_ended(pod: Object) -> bool:
    """Whether it is over and runs nothing any more. Its ReplicaSet makes another one, and keeps it all the same."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def revision_of(pod: Object) -> str:
    """The revision of the template that it was made from."""
    return str((pod["metadata"].get("labels") or {}).get(LABEL_REVISION, ""))


def has_loaded(pod: Object) -> bool:
    """Whether it still has the label that lets it out, and does not need it any more."""
    fetch = fetch_of(pod)
    return LABEL_LOADING in (pod["metadata"].get("labels") or {}) and fetch is not None and fetch.has_done


def oldest_first(pods: Iterable[Object]) -> list[Object]:
    """The pods in the order in which they were made, which is the same for everyone who looks."""
    return sorted(pods, key=lambda pod: (str(pod["metadata"].get("creationTimestamp", "")), pod["metadata"]["name"]))


def read_time(found: object) -> datetime | None:
    """A moment as the API server writes it; None for anything else."""
    try:
        moment = datetime.fromisoformat(str(found))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _named(found: Iterable[Mapping[str, Any]] | None, name: str) -> Container | None:
    return next((_container(one) for one in found or () if one.get("name") == name), None)


def _container(found: Mapping[str, Any]) -> Container:
    return Container(
        name=str(found.get("name") or ""),
        image=str(found.get("image") or ""),
        restarts=int(found.get("restartCount") or 0),
        state=found.get("state") or _NOTHING,
        before=found.get("lastState") or _NOTHING,
    )
