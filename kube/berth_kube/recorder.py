"""`EventRecorder`: Events that people see in `kubectl describe`. They are a courtesy: they may be lost, and never cost.

At most one write for an object and a reason in a minute; what repeats meanwhile counts in the `series` of its Event.
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from berth_kube.bucket import TokenBucket
from berth_kube.cluster import Cluster
from berth_kube.errors import ClusterError, NotFound
from berth_kube.resources import EVENTS, Key, Object, key_of, uid_of

WAITING_MAX = 1000
QUIET_SECONDS = 60.0
TICK_SECONDS = 1.0
NOTE_MAX_BYTES = 1024
_STEM_MAX = 200

_Topic = tuple[str, str]
"""The UID of an object, and a reason."""


@dataclass(frozen=True)
class Note:
    """What is to be said: `type` is Normal or Warning, `action` and `reason` are words in CamelCase."""

    regarding: Object
    type: str
    reason: str
    action: str
    text: str


@dataclass
class _Waiting:
    """A topic with something to write: its newest note, and how often it came."""

    note: Note
    count: int


@dataclass(frozen=True)
class _Written:
    """The last Event of a topic: where it is, what it says, how often that was said, and when it was written."""

    key: Key
    text: str
    count: int
    at: float


class EventRecorder:
    """Writes Events in the background, as long as `run` runs; `record` only takes note.

    `controller` is a qualified name such as `berth.dev/operator`, `instance` the pod's name.
    """

    def __init__(
        self,
        cluster: Cluster,
        controller: str,
        instance: str,
        *,
        bucket: TokenBucket | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.lost = 0
        """How many Events were dropped: too many at once, or refused by the API server."""
        self._cluster = cluster
        self._controller = controller
        self._instance = instance
        self._bucket = bucket if bucket is not None else TokenBucket(5, 25, now=now, sleep=sleep)
        self._now = now
        self._sleep = sleep
        self._wall = wall
        self._waiting: dict[_Topic, _Waiting] = {}
        self._written: dict[_Topic, _Written] = {}
        self._filled = asyncio.Event()

    def record(self, note: Note) -> None:
        """Take note. Of too many the oldest are dropped."""
        topic = (uid_of(note.regarding), note.reason)
        before = self._waiting.pop(topic, None)
        repeats = before is not None and before.note.text == note.text
        self._waiting[topic] = _Waiting(note, before.count + 1 if before is not None and repeats else 1)
        if len(self._waiting) > WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1
        self._filled.set()

    async def run(self) -> None:
        """Write what was recorded, until cancelled."""
        while True:
            await self._filled.wait()
            topic = self._next()
            if topic is None:
                await self._sleep(TICK_SECONDS)
                continue
            await self._bucket.acquire()
            # It may have been dropped as the oldest while this one waited for its turn.
            if (waiting := self._waiting.pop(topic, None)) is not None:
                await self._write(topic, waiting)
            if not self._waiting:
                self._filled.clear()

    def _next(self) -> _Topic | None:
        """The first topic that may be written now; forgets what nobody repeated."""
        quiet = self._now() - QUIET_SECONDS
        for topic in [topic for topic, written in self._written.items() if written.at < quiet - QUIET_SECONDS]:
            del self._written[topic]
        return next(
            (topic for topic in self._waiting if topic not in self._written or self._written[topic].at <= quiet), None
        )

    async def _write(self, topic: _Topic, waiting: _Waiting) -> None:
        try:
            self._written[topic] = await self._continue(topic, waiting) or await self._begin(waiting)
        except ClusterError:
            self.lost += 1

    async def _begin(self, waiting: _Waiting) -> _Written:
        """A new Event. Its series, if it came more than once, counts from the first."""
        body = self._event(waiting)
        await self._cluster.create(EVENTS, body)
        return _Written(key_of(body), waiting.note.text, waiting.count, self._now())

    async def _continue(self, topic: _Topic, waiting: _Waiting) -> _Written | None:
        """Count on the Event that says the same; None where there is none, because an Event's note can't be changed."""
        last = self._written.get(topic)
        if last is None or last.text != waiting.note.text:
            return None
        count = last.count + waiting.count
        try:
            await self._cluster.merge(EVENTS, last.key, {"series": self._series(count)})
        except NotFound:
            return None
        return _Written(last.key, last.text, count, self._now())

    def _event(self, waiting: _Waiting) -> Object:
        note, regarding = waiting.note, waiting.note.regarding
        key = key_of(regarding)
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            # Events of what belongs to the cluster live in `default`.
            "metadata": {"namespace": key.namespace or "default", "name": f"{_stem(key.name)}.{uuid.uuid4().hex[:16]}"},
            "eventTime": self._stamp(),
            "reportingController": self._controller,
            "reportingInstance": self._instance[:128],
            "action": note.action,
            "reason": note.reason,
            "type": note.type,
            "note": _cut(note.text),
            "regarding": _reference(regarding),
        }
        return event if waiting.count == 1 else {**event, "series": self._series(waiting.count)}

    def _series(self, count: int) -> Object:
        return {"count": count, "lastObservedTime": self._stamp()}

    def _stamp(self) -> str:
        return self._wall().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _reference(obj: Object) -> Object:
    metadata = obj["metadata"]
    known = {name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion") if metadata.get(name)}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], **known}


def _stem(name: str) -> str:
    """What of a name fits into the name of its Event, which ends in 16 more characters."""
    return name[:_STEM_MAX].rstrip("-.")


def _cut(text: str) -> str:
    """At most 1 KiB, which is what an Event takes."""
    return (
        text
        if len(text.encode()) <= NOTE_MAX_BYTES
        else text.encode()[: NOTE_MAX_BYTES - 3].decode(errors="ignore") + "…"
    )
