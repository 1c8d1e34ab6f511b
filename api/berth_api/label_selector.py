"""Label selectors in the words of Kubernetes, wherever a part of a pod has one."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from berth_api.bounds import ListOf
from berth_api.part import Part
from berth_api.scalars import LabelMap, LabelValue, Text, form

LabelKey = Annotated[
    str,
    Text(
        317,
        (
            form(
                "[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?",
                "not a valid label key",
                "write it as in `example.com/team`",
            ),
        ),
    ),
]
OptionalLabelKey = Annotated[
    str,
    Text(
        317,
        (
            form(
                "([A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?)?",
                "not a valid label key",
                "write it as in `example.com/team`",
            ),
        ),
    ),
]


class SelectorOperator(StrEnum):
    """How a label selector compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class SelectorRequirement(Part):
    """One requirement of a label selector."""

    key: LabelKey = Field(description="Key of the label.", examples=["team"])
    operator: SelectorOperator = Field(description="How the values are compared.")
    values: Annotated[tuple[LabelValue, ...], ListOf(16)] = Field(
        default=(), description="The values.", examples=[["a"]]
    )


class LabelSelector(Part):
    """A label selector."""

    match_labels: LabelMap = Field(
        default_factory=dict, description="Labels that must be equal.", examples=[{"team": "a"}]
    )
    match_expressions: Annotated[tuple[SelectorRequirement, ...], ListOf(16)] = Field(
        default=(), description="Requirements that must hold."
    )
