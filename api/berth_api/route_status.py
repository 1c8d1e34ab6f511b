"""The status of a ModelRoute: what was seen."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from berth_api.bounds import ListOf
from berth_api.conditions import Condition
from berth_api.part import StatusPart
from berth_api.scalars import Clipped, Count, Text


class BackendStatus(StatusPart):
    """One backend, as the gateway sees it."""

    name: Annotated[str, Text(192)] = Field(
        description="`name` or `namespace/name` of the Model, and `:adapter` where one is asked for."
    )
    weight: Count = Field(default=0, description="The weight in the spec.")
    effective_weight: Count = Field(default=0, description="The weight in force, which a canary may have changed.")
    ready: bool = Field(default=False, description="Whether it answers.")


class CanaryStatus(StatusPart):
    """Where a canary stands."""

    step: Count = Field(default=0, description="The step, counted from 0.")
    since: AwareDatetime | None = Field(default=None, description="When the step began.")
    requests: Count = Field(default=0, description="Requests that the step has seen.")
    error_rate_percent: Count | None = Field(default=None, description="Errors among them.")
    first_token_p95_milliseconds: Count | None = Field(
        default=None, alias="firstTokenP95Milliseconds", description="The first token at the 95th percentile."
    )
    last_decision: Annotated[str, Clipped(1024)] = Field(default="", description="What was decided last, and why.")


class RouteStatus(StatusPart):
    """What was seen."""

    observed_generation: Count = Field(default=0, description="The generation of the spec that this speaks of.")
    conditions: Annotated[tuple[Condition, ...], ListOf(16, "map", ("type",))] = Field(
        default=(), description="`Accepted`, `BackendsReady` and `Programmed`."
    )
    backends: Annotated[tuple[BackendStatus, ...], ListOf(256)] = Field(
        default=(), description="The backends of all rules."
    )
    canary: CanaryStatus | None = Field(default=None, description="Where the canary stands.")
