"""Bounds of lists and maps: how many entries, and which of Kubernetes' merge semantics a list has.

The CEL cost budget and server-side apply both need them on every list and map, so the types carry them as annotations:
`Annotated[tuple[X, ...], ListOf(16)]`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from berth_api.rules import Rule, admission_rules, broken_rules, check_rules


@dataclass(frozen=True)
class ListOf:
    """A list of at most `max_items`: `atomic` is replaced whole, a `set` has each value once, a `map` each key once."""

    max_items: int
    kind: Literal["atomic", "set", "map"] = "atomic"
    keys: tuple[str, ...] = ()
    min_items: int = 0
    rules: tuple[Rule, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema) | {"maxItems": self.max_items, "x-kubernetes-list-type": self.kind}
        if self.keys:
            written["x-kubernetes-list-map-keys"] = list(self.keys)
        if self.min_items:
            written["minItems"] = self.min_items
        if self.rules:
            written["x-kubernetes-validations"] = admission_rules(self.rules)
        return written

    def _check(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(items) > self.max_items:
            raise broken_rules(Rule("", f"{len(items)} items are too many", f"give at most {self.max_items}"))
        if len(items) < self.min_items:
            raise broken_rules(Rule("", "the list is empty", f"give at least {self.min_items}"))
        if self.kind != "atomic":
            self._check_each_once(items)
        check_rules(self.rules, items)
        return items

    def _check_each_once(self, items: tuple[Any, ...]) -> None:
        seen: set[object] = set()
        for index, item in enumerate(items):
            key = item if self.kind == "set" else tuple(_value(item, name) for name in self.keys)
            if key in seen:
                shown = key if self.kind == "set" else ", ".join(str(part) for part in key)
                raise broken_rules(Rule("", f"`{shown}` stands here twice", "give it once", field=f"[{index}]"))
            seen.add(key)


@dataclass(frozen=True)
class MapOf:
    """A map of at most `max_properties` entries, with rules for the map as a whole (its keys, mostly)."""

    max_properties: int
    rules: tuple[Rule, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema) | {"maxProperties": self.max_properties}
        if self.rules:
            written["x-kubernetes-validations"] = admission_rules(self.rules)
        return written

    def _check(self, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(entries) > self.max_properties:
            raise broken_rules(Rule("", f"{len(entries)} entries are too many", f"give at most {self.max_properties}"))
        check_rules(self.rules, entries)
        return entries


def _value(item: BaseModel, alias: str) -> object:
    for name, field in type(item).model_fields.items():
        if alias in (name, field.alias):
            return getattr(item, name)
    raise KeyError(alias)
