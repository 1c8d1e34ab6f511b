"""The kind Model."""

from typing import Literal

from pydantic import Field

from berth_api.meta import ApiObject
from berth_api.model_spec import ModelSpec
from berth_api.model_status import ModelStatus


class Model(ApiObject):
    """A machine-learning model that is served behind the gateway's OpenAI address."""

    kind: Literal["Model"] = Field(default="Model", description="`Model`.")
    spec: ModelSpec = Field(description="What the user wants.")
    status: ModelStatus = Field(default=ModelStatus(), description="What was seen.")
