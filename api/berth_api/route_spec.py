"""The spec of a ModelRoute: which requests go to which Models."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from berth_api.access import Access, Limits
from berth_api.bounds import ListOf
from berth_api.duration import Duration
from berth_api.part import Part
from berth_api.rules import Rule
from berth_api.scalars import ClientName, HeaderName, KeyName, Name, OptionalName, OptionalNamespace, Text


class HeaderMatch(Part):
    """A header that must have exactly this value."""

    name: HeaderName = Field(description="Its name, in lower case.", examples=["x-tier"])
    value: Annotated[str, Text(1024)] = Field(description="Its value.", examples=["gold"])


class Match(Part):
    """Which requests a rule is for; all conditions must hold, and none means every request."""

    headers: Annotated[tuple[HeaderMatch, ...], ListOf(16, "map", ("name",))] = Field(
        default=(), description="Headers that must all be there."
    )
    keys: Annotated[tuple[KeyName, ...], ListOf(64, "set")] = Field(
        default=(), description="Names of API keys, one of which the request must carry.", examples=[["team-a"]]
    )


class BackendRef(Part):
    """The Model that answers."""

    kind: Literal["Model"] = Field(default="Model", description="`Model`.")
    name: Name = Field(description="The Model's name.", examples=["qwen3-8b"])
    namespace: OptionalNamespace = Field(
        default="", description="The Model's namespace; the route's own if empty.", examples=["team-b"]
    )
    adapter: OptionalName = Field(default="", description="One of the Model's adapters.", examples=["sql"])


class Backend(Part):
    """One of the Models that share a rule's requests."""

    backend_ref: BackendRef = Field(description="The Model.")
    weight: int = Field(default=1, ge=0, le=10_000, description="Its share among the rule's backends; 0 means none.")


class Fallback(Part):
    """A Model that answers when the ones before it can't."""

    backend_ref: BackendRef = Field(description="The Model.")


class RollbackOn(Part):
    """What turns a canary back."""

    error_rate_percent: int | None = Field(
        default=None, ge=0, le=100, description="More errors than this.", examples=[2]
    )
    first_token_p95: Duration | None = Field(
        default=None, alias="firstTokenP95", description="A slower first token at the 95th percentile.", examples=["2s"]
    )


class Canary(Part):
    """Shifts the weights to one backend step by step, and back when it does worse."""

    invariants = (
        Rule(
            "self.steps.isSorted()",
            "the steps go down",
            "write them in rising order, such as `[5, 25, 50, 100]`",
            field=".steps",
            holds=lambda canary: list(canary.steps) == sorted(canary.steps),
        ),
    )

    backend: Name = Field(description="The name of the backend that is tried.", examples=["qwen3-8b-next"])
    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], ListOf(16, min_items=1)] = Field(
        description="Its share in percent, step by step.", examples=[[5, 25, 50, 100]]
    )
    interval: Duration = Field(default=Duration("5m"), description="How long each step lasts at least.")
    min_requests: int = Field(default=100, ge=1, le=1_000_000, description="Requests that a step must have seen.")
    rollback_on: RollbackOn = Field(default=RollbackOn(), description="What turns it back.")


class AffinityType(StrEnum):
    """What keeps requests on one replica."""

    NONE = "None"
    SESSION = "Session"
    PREFIX = "Prefix"


class SessionAffinity(Part):
    """Requests with the same header value go to the same replica."""

    header: HeaderName = Field(description="The header.", examples=["x-session-id"])


class Affinity(Part):
    """What keeps requests on one replica: exactly the member that belongs to `type` is given."""

    invariants = (
        Rule(
            "has(self.session) == (self.type == 'Session')",
            "`session` belongs to `type: Session`, and to nothing else",
            "give `type: Session` together with `session: {header: x-session-id}`",
            holds=lambda affinity: (affinity.session is not None) == (affinity.type is AffinityType.SESSION),
        ),
    )

    type: AffinityType = Field(
        default=AffinityType.NONE,
        description="`Session` goes by a header, `Prefix` by the beginning of the prompt, "
        "whose KV cache a replica may have.",
    )
    session: SessionAffinity | None = Field(default=None, description="The header, with `type: Session`.")


class Timeouts(Part):
    """How long the gateway waits."""

    first_byte: Duration = Field(default=Duration("60s"), description="Until the first event of an answer.")
    idle: Duration = Field(default=Duration("15m"), description="Between two events of an answer.")


class RetryOn(StrEnum):
    """What is tried again, before the first byte only."""

    CONNECT_FAILURE = "ConnectFailure"
    RESET = "Reset"
    GATEWAY_ERROR = "GatewayError"
    OVERLOADED = "Overloaded"


class Retries(Part):
    """What is tried again."""

    attempts: int = Field(default=2, ge=0, le=10, description="How often, besides the first time.")
    retry_on: Annotated[tuple[RetryOn, ...], ListOf(8, "set")] = Field(
        default=tuple(RetryOn),
        description="After what; all four by default.",
        examples=[["ConnectFailure", "Reset"]],
    )


class RouteRule(Part):
    """What happens to the requests that match."""

    invariants = (
        Rule(
            "self.backends.exists(backend, backend.weight > 0)",
            "every backend has the weight 0, so that nothing would answer",
            "give at least one backend a weight",
            field=".backends",
            holds=lambda rule: any(backend.weight > 0 for backend in rule.backends),
        ),
        Rule(
            "!has(self.canary) || self.backends.exists(backend, backend.backendRef.name == self.canary.backend)",
            "no backend of this rule has the canary's name",
            "name one of `backends`",
            field=".canary.backend",
            holds=lambda rule: (
                rule.canary is None or any(backend.backend_ref.name == rule.canary.backend for backend in rule.backends)
            ),
        ),
    )

    match: Match = Field(default=Match(), description="Which requests it is for.")
    backends: Annotated[tuple[Backend, ...], ListOf(16, min_items=1)] = Field(
        description="The Models that share the requests by weight.",
        examples=[[{"backendRef": {"name": "qwen3-8b"}, "weight": 1}]],
    )
    canary: Canary | None = Field(default=None, description="Shifts the weights step by step; then it owns them.")
    fallbacks: Annotated[tuple[Fallback, ...], ListOf(8)] = Field(
        default=(), description="Models to try in this order when no backend can answer, before the first byte only."
    )
    affinity: Affinity = Field(default=Affinity(), description="What keeps requests on one replica.")
    timeouts: Timeouts = Field(default=Timeouts(), description="How long the gateway waits.")
    retries: Retries = Field(default=Retries(), description="What is tried again.")


class RouteSpec(Part):
    """What the user wants."""

    names: Annotated[tuple[ClientName, ...], ListOf(32, "set", min_items=1)] = Field(
        description="What clients send as `model`.", examples=[["chat", "gpt-4o-mini"]]
    )
    rules: Annotated[tuple[RouteRule, ...], ListOf(16, min_items=1)] = Field(
        description="The first one that matches decides."
    )
    access: Access = Field(default=Access(), description="Which API keys may use it.")
    limits: Limits = Field(default=Limits(), description="Limits for each key, over all replicas of the gateway.")
