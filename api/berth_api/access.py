"""Who may use a name and how much: `access`, `limits` and `allowedRoutes`. Both kinds carry the first two."""

from typing import Annotated

from pydantic import Field

from berth_api.bounds import ListOf
from berth_api.part import Part
from berth_api.scalars import KeyName, Namespace


class Access(Part):
    """Which API keys may use it."""

    keys: Annotated[tuple[KeyName, ...], ListOf(64, "set")] = Field(
        default=(), description="Names of keys; none means every key.", examples=[["team-a"]]
    )


class Limits(Part):
    """Limits for each key, over all replicas of the gateway."""

    requests_per_minute: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Requests a minute.", examples=[600]
    )
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000_000,
        description="Tokens a minute, prompt and answer together.",
        examples=[200_000],
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=1 << 30, description="Tokens that one answer may have.", examples=[4096]
    )
    max_concurrent: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Requests in flight at once.", examples=[64]
    )


class AllowedRoutes(Part):
    """Whose ModelRoutes may point here besides those of the Model's own namespace."""

    namespaces: Annotated[tuple[Namespace, ...], ListOf(64, "set")] = Field(
        default=(), description="Names of namespaces.", examples=[["team-b"]]
    )
