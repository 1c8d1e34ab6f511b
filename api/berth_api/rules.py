"""A rule of the API, said twice in one place: as CEL for the API server and as Python for the laptop and the operator.

Objects (`berth_api.part`), scalars (`berth_api.scalars`), lists and maps (`berth_api.bounds`) carry rules;
`berth_api.schema` writes them into the CRD, `berth_api.manifest` turns broken ones into FieldErrors.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError

BROKEN_RULE = "berth_rule"


@dataclass(frozen=True)
class Rule:
    """What must hold of one value: `cel` at admission, `holds` in Python, and the same words for both.

    `message` says what is wrong, `remedy` what would be right, `field` which part of the value to point at (`.claim`).
    A rule without `holds` is known to the API server only, because only a cluster lacks what it asks for.
    """

    cel: str
    message: str
    remedy: str
    field: str = ""
    holds: Callable[[Any], bool] | None = None


def check_rules(rules: Iterable[Rule], value: object) -> None:
    """Raise one pydantic error that carries every rule which the value breaks."""
    broken = tuple(rule for rule in rules if rule.holds is not None and not rule.holds(value))
    if broken:
        raise broken_rules(*broken)


def broken_rules(*rules: Rule) -> PydanticCustomError:
    """The pydantic error that carries the rules to `berth_api.manifest`."""
    text = "; ".join(f"{rule.message}; {rule.remedy}" for rule in rules)
    return PydanticCustomError(BROKEN_RULE, "{text}", {"text": text, "rules": rules})


def at(field: str, rule: Rule) -> Rule:
    """The admission rule of a value, said of the object around it: for values whose schema can't carry rules."""
    return Rule(rule.cel.replace("self", f"self.{field}"), rule.message, rule.remedy, field=f".{field}")


def admission_rules(rules: Iterable[Rule]) -> list[dict[str, str]]:
    """The rules as the CRD's `x-kubernetes-validations`."""
    return [_admission_rule(rule) for rule in rules if rule.cel]


def _admission_rule(rule: Rule) -> dict[str, str]:
    written = {"rule": rule.cel, "message": f"{rule.message}; {rule.remedy}"}
    return written | {"fieldPath": rule.field} if rule.field else written
