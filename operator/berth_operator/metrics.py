"""What the operator tells Prometheus, in a registry of its own. Gauges are read when scraped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from berth_operator.subject import Kind

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, read by nobody

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True)
class Gauges:
    """What is so at this moment."""

    queue_depth: int = 0
    queue_oldest_seconds: float = 0
    leading: bool = False
    loop_lag_seconds: float = 0
    stream_age_seconds: dict[str, float] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)


class OperatorMetrics:
    """Counts reconciles and writes. `render` gives Prometheus' text format."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._reconciles = Counter(
            "berth_operator_reconciles",
            "Reconciles by kind and outcome: ok, refused, error, timeout, bug.",
            ("kind", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "berth_operator_reconcile_seconds",
            "How long reconciles took.",
            ("kind",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._writes = Counter(
            "berth_operator_writes",
            "Writes to the API server by verb, kind and outcome.",
            ("verb", "kind", "outcome"),
            registry=self._registry,
        )

    def watch(self, read: Callable[[], Gauges]) -> None:
        """Show what `read` returns, too."""
        self._registry.register(_GaugeCollector(read))

    def count_reconcile(self, kind: Kind, outcome: str, seconds: float) -> None:
        """A reconcile has ended."""
        self._reconciles.labels(kind.value, outcome).inc()
        self._seconds.labels(kind.value).observe(seconds)

    def count_write(self, verb: str, kind: str, outcome: str) -> None:
        """A write was answered, or was given up; `outcome` is `ok` or the error's class."""
        self._writes.labels(verb, kind, outcome).inc()

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _GaugeCollector(Collector):
    def __init__(self, read: Callable[[], Gauges]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Read them now."""
        now = self._read()
        yield _gauge("berth_operator_queue_depth", "Keys that wait for a worker.", now.queue_depth)
        yield _gauge("berth_operator_queue_oldest_seconds", "How long the oldest key waits.", now.queue_oldest_seconds)
        yield _gauge("berth_operator_leading", "1 where this replica leads.", float(now.leading))
        yield _gauge("berth_operator_loop_lag_seconds", "How late the event loop is.", now.loop_lag_seconds)
        ages = GaugeMetricFamily(
            "berth_operator_stream_age_seconds", "Since the last sign of life of a watch.", labels=("kind",)
        )
        for kind, age in now.stream_age_seconds.items():
            ages.add_metric((kind,), age)
        yield ages
        objects = GaugeMetricFamily("berth_operator_objects", "Objects known, by kind.", labels=("kind",))
        for kind, count in now.objects.items():
            objects.add_metric((kind,), count)
        yield objects


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)
