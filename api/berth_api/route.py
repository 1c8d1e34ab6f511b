"""The kind ModelRoute."""

from typing import Literal

from pydantic import Field

from berth_api.meta import ApiObject
from berth_api.route_spec import RouteSpec
from berth_api.route_status import RouteStatus


class ModelRoute(ApiObject):
    """Names that clients send, and which Models answer them."""

    kind: Literal["ModelRoute"] = Field(default="ModelRoute", description="`ModelRoute`.")
    spec: RouteSpec = Field(description="What the user wants.")
    status: RouteStatus = Field(default=RouteStatus(), description="What was seen.")
