"""What the agent counts, in a registry of its own. Shown at /metrics together with Envoy's own statistics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from berth_gateway.snapshot import Phase, Snapshot


class GatewayMetrics:
    """The agent's metrics. `render` gives Prometheus' text format."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._models = Gauge("berth_gateway_models", "Models by phase.", ["phase"], registry=self._registry)
        self._names = Gauge("berth_gateway_names", "Names that clients may send.", registry=self._registry)
        self._answers = Counter(
            "berth_gateway_agent_answers",
            "Requests that the agent answered, by status and error code.",
            ["status", "code"],
            registry=self._registry,
        )
        self._updates = Counter(
            "berth_gateway_updates", "Configurations given to Envoy, by outcome.", ["outcome"], registry=self._registry
        )
        self._update_seconds = Histogram(
            "berth_gateway_update_seconds",
            "From a new snapshot to Envoy's acknowledgement.",
            registry=self._registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )

    def observe_snapshot(self, snapshot: Snapshot) -> None:
        """Show what is served now."""
        for phase in Phase:
            count = sum(model.state.phase is phase and not model.adapter for model in snapshot.models.values())
            self._models.labels(phase=phase.value).set(count)
        self._names.set(len(snapshot.names))

    def count_answer(self, status: int, code: str) -> None:
        """One request that the agent answered; `code` is the error's, or empty."""
        self._answers.labels(status=str(status), code=code).inc()

    def count_update(self, outcome: str, seconds: float) -> None:
        """One configuration: `accepted`, `rejected` or `unanswered`."""
        self._updates.labels(outcome=outcome).inc()
        if outcome == "accepted":
            self._update_seconds.observe(seconds)

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
