"""What this process tells Prometheus. Counted by the HTTP layer; gauges are read from the models when scraped."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from berth_runtime.engines.protocol import Rows, Usage
from berth_runtime.messages import Outcome
from berth_runtime.supervision import Standing, State

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, read by nobody

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """A registry of its own, so that two servers in one process (as in tests) do not share figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "berth_requests", "Requests answered, by status.", ("model", "endpoint", "code"), registry=self._registry
        )
        self._prompt_tokens = Counter(
            "berth_prompt_tokens", "Tokens read from prompts and inputs.", ("model",), registry=self._registry
        )
        self._generated_tokens = Counter(
            "berth_generated_tokens", "Tokens generated.", ("model",), registry=self._registry
        )
        self._first_event = Histogram(
            "berth_time_to_first_event_seconds",
            "From the request's arrival to the first event of its answer.",
            ("model", "endpoint"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._duration = Histogram(
            "berth_request_duration_seconds",
            "From the request's arrival to the end of its answer.",
            ("model", "endpoint"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def watch(self, standings: Callable[[], Iterable[Standing]]) -> None:
        """Tell how the models stand, too."""
        self._registry.register(ModelCollector(standings))

    def count_request(self, *, model: str, endpoint: str, code: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(model, endpoint, str(code)).inc()
        self._duration.labels(model, endpoint).observe(seconds)

    def count_first_event(self, *, model: str, endpoint: str, seconds: float) -> None:
        """The first event of an answer is there."""
        self._first_event.labels(model, endpoint).observe(seconds)

    def count_outcome(self, outcome: Outcome, *, model: str) -> None:
        """An engine has ended its work on a request."""
        if isinstance(outcome, Usage | Rows):
            self._prompt_tokens.labels(model).inc(outcome.prompt_tokens)
        if isinstance(outcome, Usage):
            self._generated_tokens.labels(model).inc(outcome.generated_tokens)

    def render(self) -> bytes:
        """The text of `/metrics`."""
        return generate_latest(self._registry)


class ModelCollector(Collector):
    """Figures that the models themselves hold."""

    def __init__(self, standings: Callable[[], Iterable[Standing]]) -> None:
        self._standings = standings

    def collect(self) -> Iterator[Metric]:
        """Read them now."""
        in_flight = GaugeMetricFamily("berth_requests_in_flight", "Places taken at the engine.", labels=("model",))
        queued = GaugeMetricFamily("berth_requests_queued", "Requests that wait for a place.", labels=("model",))
        places = GaugeMetricFamily("berth_places", "Requests that the engine takes at once.", labels=("model",))
        restarts = CounterMetricFamily("berth_worker_restarts", "Workers started again.", labels=("model",))
        states = GaugeMetricFamily("berth_model_state", "1 for the state that it is in.", labels=("model", "state"))
        for model in self._standings():
            in_flight.add_metric((model.name,), model.running)
            queued.add_metric((model.name,), model.queued)
            places.add_metric((model.name,), model.places)
            restarts.add_metric((model.name,), model.restarts)
            for state in State:
                states.add_metric((model.name, state), float(model.state is state))
        yield from (in_flight, queued, places, restarts, states)
