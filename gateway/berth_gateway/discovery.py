"""One Envoy's conversation with the agent, as a state machine without IO (xDS, state of the world, aggregated).

Order is what it owns: make before break. New clusters and their endpoints come first; Envoy acknowledges clusters only
when they have warmed; then routes; and what no route needs any more leaves last. Called by xds.py.

Protocol: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-docs/xds_protocol
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from berth_gateway.codec import Encoded
from berth_gateway.types import type_url


class Kind(StrEnum):
    """The resource types, by the `type_url` that names them."""

    CLUSTERS = type_url("envoy.config.cluster.v3.Cluster")
    ENDPOINTS = type_url("envoy.config.endpoint.v3.ClusterLoadAssignment")
    ROUTES = type_url("envoy.config.route.v3.RouteConfiguration")


@dataclass(frozen=True)
class State:
    """A configuration and its number. Numbers rise with every publication."""

    version: int
    encoded: Encoded


NOTHING = State(0, Encoded())


@dataclass(frozen=True)
class Rejection:
    """Envoy refused a state: of which type, and in its own words."""

    version: int
    kind: Kind
    message: str


@dataclass
class _Channel:
    """One resource type of the conversation: what was sent, and whether Envoy has answered to it."""

    subscribed: bool = False
    wanted: frozenset[str] = frozenset()
    sent: dict[str, bytes] = field(default_factory=dict)
    nonce: int = 0
    settled: bool = True

    @property
    def is_used(self) -> bool:
        """Whether anything was sent: an empty list of clusters is a message too."""
        return self.nonce > 0

    def accept(self, request: DiscoveryRequest) -> bool:
        """Take a request in; False for an answer to something older than the last response, which is to be ignored."""
        if request.response_nonce and request.response_nonce != str(self.nonce):
            return False
        self.subscribed = True
        self.wanted = frozenset(request.resource_names)
        self.settled = self.settled or bool(request.response_nonce)
        return True


class Conversation:
    """What one stream has said and heard. `previous` is what an Envoy that reconnects may still hold."""

    def __init__(self, previous: State) -> None:
        self._channels = {kind: _Channel() for kind in Kind}
        self._before = previous.encoded
        self._target = NOTHING
        self._rejection: Rejection | None = None

    def receive(self, request: DiscoveryRequest) -> None:
        """Take in a subscription, an acknowledgement or a rejection. Types that the agent has not are ignored."""
        if request.type_url not in list(Kind):
            return
        kind = Kind(request.type_url)
        if self._channels[kind].accept(request) and request.HasField("error_detail"):
            self._rejection = Rejection(self._target.version, kind, request.error_detail.message)

    def respond(self, target: State) -> list[DiscoveryResponse]:
        """What is to be sent now on the way to `target`. Nothing, while an answer is awaited or all is done."""
        if target.version != self._target.version:
            self._before = self._before if self._target is NOTHING else self._target.encoded
            self._target = target
        if target is NOTHING or self.rejection is not None:
            return []
        responses = (self._clusters(), self._endpoints(), self._routes())
        return [response for response in responses if response is not None]

    @property
    def version(self) -> int:
        """The number of the state on its way."""
        return self._target.version

    @property
    def has_arrived(self) -> bool:
        """True when Envoy holds the target, has accepted all of it, and nothing else. Asked after `respond`."""
        return (
            self._target is not NOTHING
            and self.rejection is None
            and all(channel.settled for channel in self._channels.values())
            and self._channels[Kind.CLUSTERS].sent == self._target.encoded.clusters
            and self._routes_are_out
        )

    @property
    def rejection(self) -> Rejection | None:
        """The rejection of the state that is on its way now, if Envoy refused it."""
        current = self._rejection is not None and self._rejection.version == self._target.version
        return self._rejection if current else None

    @property
    def _routes_are_out(self) -> bool:
        routes = self._channels[Kind.ROUTES]
        return routes.sent == self._target.encoded.routes and routes.settled

    def _clusters(self) -> DiscoveryResponse | None:
        channel = self._channels[Kind.CLUSTERS]
        if not channel.subscribed:
            return None
        held = channel.sent if channel.is_used else self._before.clusters
        wanted = {**({} if self._routes_are_out else held), **self._target.encoded.clusters}
        if channel.is_used and channel.sent == wanted:
            return None
        # A cluster that is new or changed waits for endpoints, also for those that Envoy has seen before.
        for name, value in wanted.items():
            if channel.sent.get(name) != value:
                self._channels[Kind.ENDPOINTS].sent.pop(name, None)
        return self._send(Kind.CLUSTERS, wanted, wanted)

    def _endpoints(self) -> DiscoveryResponse | None:
        channel = self._channels[Kind.ENDPOINTS]
        known = {**self._before.endpoints, **self._target.encoded.endpoints}
        kept = {name: value for name, value in channel.sent.items() if name in channel.wanted}
        changed = {name: known[name] for name in channel.wanted & known.keys() if kept.get(name) != known[name]}
        channel.sent = kept
        # Endpoints may come piecewise: what a response leaves out stays as it is.
        return self._send(Kind.ENDPOINTS, changed, {**kept, **changed}) if changed else None

    def _routes(self) -> DiscoveryResponse | None:
        channel, target = self._channels[Kind.ROUTES], self._target.encoded.routes
        clusters, endpoints = self._channels[Kind.CLUSTERS], self._channels[Kind.ENDPOINTS]
        warm = clusters.is_used and clusters.settled and endpoints.settled
        if not channel.subscribed or not warm or channel.sent == target:
            return None
        return self._send(Kind.ROUTES, target, target)

    def _send(self, kind: Kind, resources: Mapping[str, bytes], sent: Mapping[str, bytes]) -> DiscoveryResponse:
        channel = self._channels[kind]
        channel.nonce += 1
        channel.settled = False
        channel.sent = dict(sent)
        response = DiscoveryResponse(version_info=str(self._target.version), type_url=kind, nonce=str(channel.nonce))
        for value in resources.values():
            response.resources.add(type_url=kind, value=value)
        return response
