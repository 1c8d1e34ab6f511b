"""Kubernetes quantities: `4Gi`, `500m`, `2`. The suffixes and their values are those of k8s.io/apimachinery."""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from berth_api.rules import Rule, admission_rules, check_rules

_MOST = 10**15
_PATTERN = r"[0-9]{1,15}([.][0-9]{1,9})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?"
_FORM = re.compile(_PATTERN)
_PARTS = re.compile(r"([0-9.]+)(.*)")
_MULTIPLIERS = {
    "": Decimal(1),
    **{
        suffix: Decimal(10) ** (3 * power)
        for suffix, power in zip("numkMGTPE", (-3, -2, -1, 1, 2, 3, 4, 5, 6), strict=True)
    },
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_REMEDY = "write a Kubernetes quantity, such as `4Gi`, `500m` or `2`"
QUANTITY_RULE = Rule(
    f"type(self) == int ? self >= 0 && self < {_MOST} : self.matches('^(?:{_PATTERN})$')",
    "not a valid quantity",
    _REMEDY,
    holds=lambda text: bool(_FORM.fullmatch(text)),
)


class Quantity(str):
    """A quantity in the text that the user wrote, an integer as its digits."""

    __slots__ = ()

    @property
    def value(self) -> Decimal:
        """The exact value."""
        return parse_quantity(self)

    @property
    def bytes(self) -> int:
        """The value as a number of bytes, rounded up."""
        return int(self.value.to_integral_value(ROUND_CEILING))

    @property
    def millis(self) -> int:
        """The value in thousandths, rounded up: `500m` is 500."""
        return int((self.value * 1000).to_integral_value(ROUND_CEILING))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._checked, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            "x-kubernetes-validations": admission_rules([QUANTITY_RULE]),
        }

    @classmethod
    def _checked(cls, value: object) -> Self:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise PydanticCustomError("quantity_type", "Input should be an integer or a text")
        text = str(value)
        check_rules([QUANTITY_RULE], text)
        return cls(text)


def parse_quantity(text: str) -> Decimal:
    """The exact value of a quantity. Raises ValueError for any other text."""
    if not _FORM.fullmatch(text):
        raise ValueError(f"`{text}` is no quantity; {_REMEDY}")
    match = _PARTS.fullmatch(text)
    assert match is not None
    number, suffix = match.groups()
    if suffix in _MULTIPLIERS:
        return Decimal(number) * _MULTIPLIERS[suffix]
    return Decimal(number + suffix)
