"""What a gateway in a cluster tells besides: how fresh its view is, what could not be served. Used by cluster.py."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge, generate_latest


class ClusterMetrics:
    """Gauges that are set when they are shown."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._synced = self._gauge("berth_gateway_synced", "1 when the API server has been read completely.")
        self._restored = self._gauge(
            "berth_gateway_restored", "1 while the last state from disk is served, because the API server is away."
        )
        self._refused = self._gauge("berth_gateway_refused", "1 while Envoy refuses the newest state.")
        self._invalid = self._gauge("berth_gateway_invalid_objects", "Objects whose newest version is not valid.")
        self._ages = Gauge(
            "berth_gateway_watch_age_seconds",
            "Time since the API server said anything of a kind.",
            ["resource"],
            registry=self._registry,
        )

    def observe(
        self, *, synced: bool, restored: bool, refused: bool, invalid: int, ages_seconds: Mapping[str, float]
    ) -> None:
        """Show this from now on."""
        self._synced.set(synced)
        self._restored.set(restored)
        self._refused.set(refused)
        self._invalid.set(invalid)
        for resource, seconds in ages_seconds.items():
            self._ages.labels(resource=resource).set(seconds)

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(name, says, registry=self._registry)
