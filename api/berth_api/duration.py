"""Durations as the API writes them: `90s`, `5m`, `1h2m3s`."""

import re
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from berth_api.rules import admission_rules, check_rules
from berth_api.scalars import form

_PARTS = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_DIGITS = "[0-9]{1,5}"
DURATION_RULE = form(
    f"{_DIGITS}h({_DIGITS}m)?({_DIGITS}s)?|{_DIGITS}m({_DIGITS}s)?|{_DIGITS}s",
    "not a valid duration",
    "write hours, minutes and seconds, such as `90s`, `5m` or `1h2m3s`",
)


class Duration(str):
    """A duration in the text that the user wrote; `seconds` is its length."""

    __slots__ = ()

    @property
    def seconds(self) -> int:
        """The whole duration in seconds."""
        return parse_duration(self)

    @classmethod
    def of_seconds(cls, seconds: int) -> Self:
        """The shortest text for a number of seconds: 3723 is `1h2m3s`."""
        hours, rest = divmod(seconds, 3600)
        minutes, rest = divmod(rest, 60)
        parts = [f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if value]
        return cls("".join(parts) or "0s")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls._checked, core_schema.str_schema(max_length=18))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"x-kubernetes-validations": admission_rules([DURATION_RULE])}

    @classmethod
    def _checked(cls, text: str) -> Self:
        check_rules([DURATION_RULE], text)
        return cls(text)


def parse_duration(text: str) -> int:
    """Seconds of `1h2m3s`. Raises ValueError for any other form."""
    match = _PARTS.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"`{text}` is no duration; {DURATION_RULE.remedy}")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
