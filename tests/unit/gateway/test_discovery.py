"""The conversation with Envoy: what is sent when, and what an answer means. No socket, no clock."""

from dataclasses import dataclass, field

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from berth_gateway.codec import Encoded
from berth_gateway.discovery import NOTHING, Conversation, Kind, State


def state(version: int, clusters: dict[str, str], routes: str, endpoints: dict[str, str] | None = None) -> State:
    """A state in readable bytes. Each cluster has endpoints of its own, or those given."""
    hosts = {name: f"hosts of {name}" for name in clusters} | (endpoints or {})
    return State(
        version,
        Encoded(
            clusters={name: value.encode() for name, value in clusters.items()},
            endpoints={name: value.encode() for name, value in hosts.items()},
            routes={"gateway": routes.encode()},
        ),
    )


ONE = state(1, {"a": "cluster a"}, "to a")
TWO = state(2, {"b": "cluster b"}, "to b")


@dataclass
class Envoy:
    """Envoy's side: subscribes to its clusters' endpoints, warms, acknowledges. `log` says what came, in order."""

    conversation: Conversation
    refuses: Kind | None = None
    clusters: set[str] = field(default_factory=set)
    warming: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    waiting: DiscoveryResponse | None = None

    def subscribe(self) -> None:
        self.say(Kind.CLUSTERS)
        self.say(Kind.ROUTES, "gateway")

    def say(self, kind: Kind, *names: str, to: DiscoveryResponse | None = None, error: str = "") -> None:
        request = DiscoveryRequest(type_url=kind, resource_names=names)
        if to is not None:
            request.response_nonce, request.version_info = to.nonce, to.version_info
        if error:
            request.error_detail.message = error
        self.conversation.receive(request)

    def follow(self, target: State) -> None:
        """Exchange messages until nothing more is said."""
        while responses := self.conversation.respond(target):
            for response in responses:
                self.take(response)

    def take(self, response: DiscoveryResponse) -> None:
        kind = Kind(response.type_url)
        values = [resource.value.decode() for resource in response.resources]
        self.log.append(f"{kind.name}: {', '.join(sorted(values)) or 'none'}")
        if kind is self.refuses:
            self.say(kind, *self.names(kind), to=response, error="no such thing")
        elif kind is Kind.CLUSTERS:
            self.take_clusters(values, response)
        else:
            self.say(kind, *self.names(kind), to=response)
            if kind is Kind.ENDPOINTS:
                self.warm({value.split()[-1] for value in values})

    def take_clusters(self, values: list[str], response: DiscoveryResponse) -> None:
        new = {value.split()[1] for value in values}
        added, self.clusters = new - self.clusters, new
        self.warming |= added
        self.waiting = response
        if added:
            self.say(Kind.ENDPOINTS, *self.clusters)
        self.warm(set())

    def warm(self, names: set[str]) -> None:
        """Clusters are acknowledged only when all have their endpoints."""
        self.warming -= names
        if self.waiting is not None and not self.warming:
            self.say(Kind.CLUSTERS, to=self.waiting)
            self.waiting = None

    def names(self, kind: Kind) -> set[str]:
        return {Kind.CLUSTERS: set(), Kind.ENDPOINTS: self.clusters, Kind.ROUTES: {"gateway"}}[kind]


def connected(previous: State = NOTHING, refuses: Kind | None = None) -> Envoy:
    envoy = Envoy(Conversation(previous), refuses)
    envoy.subscribe()
    return envoy


def test_before_a_first_state_nothing_is_said() -> None:
    envoy = connected()
    assert envoy.conversation.respond(NOTHING) == []
    assert not envoy.conversation.has_arrived


def test_a_first_state_comes_as_clusters_then_endpoints_then_routes() -> None:
    envoy = connected()
    envoy.follow(ONE)
    assert envoy.log == ["CLUSTERS: cluster a", "ENDPOINTS: hosts of a", "ROUTES: to a"]
    assert envoy.conversation.has_arrived


def test_a_state_without_models_is_a_state_too() -> None:
    envoy = connected()
    envoy.follow(state(1, {}, "nothing"))
    assert envoy.log == ["CLUSTERS: none", "ROUTES: nothing"]
    assert envoy.conversation.has_arrived


def test_the_new_is_there_before_the_routes_turn_and_the_old_leaves_after_them() -> None:
    envoy = connected()
    envoy.follow(ONE)
    envoy.log.clear()
    envoy.follow(TWO)
    assert envoy.log == [
        "CLUSTERS: cluster a, cluster b",
        "ENDPOINTS: hosts of b",
        "ROUTES: to b",
        "CLUSTERS: cluster b",
    ]
    assert envoy.conversation.has_arrived


def test_no_routes_are_sent_while_a_cluster_is_warming() -> None:
    conversation = connected().conversation
    (clusters,) = conversation.respond(ONE)
    assert clusters.type_url == Kind.CLUSTERS
    assert conversation.respond(ONE) == []
    assert not conversation.has_arrived


def test_a_change_of_endpoints_alone_sends_only_those_that_changed() -> None:
    envoy = connected()
    envoy.follow(state(1, {"a": "cluster a", "b": "cluster b"}, "to both"))
    envoy.log.clear()
    envoy.follow(state(2, {"a": "cluster a", "b": "cluster b"}, "to both", {"b": "other hosts of b"}))
    assert envoy.log == ["ENDPOINTS: other hosts of b"]
    assert envoy.conversation.has_arrived


def test_the_same_state_again_sends_nothing_and_has_arrived() -> None:
    envoy = connected()
    envoy.follow(ONE)
    envoy.log.clear()
    envoy.follow(State(2, ONE.encoded))
    assert envoy.log == []
    assert envoy.conversation.has_arrived


def test_a_changed_cluster_gets_its_endpoints_again() -> None:
    envoy = connected()
    envoy.follow(ONE)
    envoy.log.clear()
    envoy.follow(state(2, {"a": "cluster a anew"}, "to a"))
    assert envoy.log == ["CLUSTERS: cluster a anew", "ENDPOINTS: hosts of a"]


def test_a_cluster_that_left_and_comes_back_gets_its_endpoints_again() -> None:
    envoy = connected()
    for version, target in enumerate((ONE, TWO, ONE), start=1):
        envoy.log.clear()
        envoy.follow(State(version, target.encoded))
    assert "ENDPOINTS: hosts of a" in envoy.log
    assert envoy.conversation.has_arrived


def test_an_envoy_that_reconnects_gets_everything_and_keeps_the_old_until_its_routes_turn() -> None:
    envoy = connected(previous=ONE)
    envoy.say(Kind.ENDPOINTS, "a")
    envoy.clusters = {"a"}
    envoy.follow(TWO)
    assert envoy.log == [
        "CLUSTERS: cluster a, cluster b",
        "ENDPOINTS: hosts of a",
        "ENDPOINTS: hosts of b",
        "ROUTES: to b",
        "CLUSTERS: cluster b",
    ]


def test_the_last_endpoints_of_a_model_that_is_leaving_stay_in_force() -> None:
    envoy = connected(previous=ONE)
    envoy.follow(state(2, {"a": "cluster a"}, "to a", {"a": "newer hosts of a"}))
    envoy.log.clear()
    envoy.follow(State(3, TWO.encoded))
    assert "ENDPOINTS: hosts of a" not in envoy.log


def test_a_refusal_is_told_in_envoys_words_and_nothing_more_of_that_state_is_sent() -> None:
    envoy = connected(refuses=Kind.CLUSTERS)
    envoy.follow(ONE)
    rejection = envoy.conversation.rejection
    assert rejection is not None
    assert (rejection.version, rejection.kind, rejection.message) == (1, Kind.CLUSTERS, "no such thing")
    assert envoy.log == ["CLUSTERS: cluster a"]
    assert not envoy.conversation.has_arrived


def test_after_refused_routes_the_old_state_can_be_given_back() -> None:
    envoy = connected()
    envoy.follow(ONE)
    envoy.refuses = Kind.ROUTES
    envoy.follow(TWO)
    assert envoy.conversation.rejection is not None
    envoy.refuses = None
    envoy.log.clear()
    envoy.follow(State(3, ONE.encoded))
    assert envoy.log[-1] == "CLUSTERS: cluster a"
    assert envoy.conversation.rejection is None
    assert envoy.conversation.has_arrived


def test_an_answer_to_an_older_response_is_ignored() -> None:
    envoy = connected()
    (clusters,) = envoy.conversation.respond(ONE)
    envoy.conversation.respond(TWO)
    envoy.say(Kind.CLUSTERS, to=clusters, error="late")
    assert envoy.conversation.rejection is None


def test_a_type_that_the_agent_does_not_have_is_ignored() -> None:
    conversation = Conversation(NOTHING)
    conversation.receive(DiscoveryRequest(type_url="type.googleapis.com/envoy.config.listener.v3.Listener"))
    assert conversation.respond(ONE) == []
