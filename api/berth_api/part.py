"""The base of every object in a manifest: frozen, camelCase outside and snake_case inside, unknown fields refused."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from berth_api.rules import Rule, admission_rules, check_rules


class Part(BaseModel):
    """An object of a manifest. `invariants` hold between its fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )

    invariants: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _obey_invariants(self) -> Self:
        check_rules(self.invariants, self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(core_schema)
        validations = admission_rules(cls.invariants)
        if validations:
            handler.resolve_ref_schema(written)["x-kubernetes-validations"] = validations
        return written


class StatusPart(Part):
    """An object of a status. Clients must tolerate what a newer version adds, so unknown fields are dropped."""

    model_config = ConfigDict(extra="ignore")
