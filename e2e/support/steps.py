"""What a busy user does in a namespace, as values: the same steps can be carried out twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from e2e.support.manifests import Json, a_fleet_model, a_model, a_route, apply
from e2e.support.programs import kubectl

# Three on fake nodes, pinned; and one whose source is resolved by a Job, and whose pods pull and load for real.
PULLED = "emma"
NAMES = ("ada", "bede", "cato", PULLED)
ROUTE = "any-of-them"


@dataclass(frozen=True)
class Step:
    """One command: apply, edit, scale or delete `name`; `value` is what it becomes."""

    verb: str
    name: str
    value: int = 0


def build_steps(chosen: Random, count: int) -> tuple[Step, ...]:
    """So many steps by chance; at the end every Model is there, for an end without objects would prove little."""
    there: set[str] = set()
    steps = list(_steps(chosen, count - len(NAMES) - 1, there))
    last = [Step("apply", name, chosen.randint(1, 3)) for name in NAMES]
    return (*steps, *last, Step("route", ROUTE, chosen.randint(1, 9)))


def _steps(chosen: Random, count: int, there: set[str]) -> Iterator[Step]:
    for _ in range(count):
        name = chosen.choice(NAMES)
        verb = chosen.choice(("edit", "edit", "scale", "scale", "delete", "route")) if name in there else "apply"
        if verb == "delete":
            there.discard(name)
        elif verb == "apply":
            there.add(name)
        yield Step(verb, ROUTE if verb == "route" else name, chosen.randint(1, 3))


def carry_out(step: Step, namespace: str, source: str) -> None:
    """Do it by kubectl. `source` is what the Model that is pulled is pulled from."""
    match step.verb:
        case "scale":
            kubectl("scale", f"model/{step.name}", f"--replicas={step.value}", "-n", namespace)
        case "delete":
            kubectl("delete", f"model/{step.name}", "-n", namespace, "--wait=false")
        case "route":
            apply(a_route(step.name, namespace, {NAMES[0]: step.value, NAMES[1]: 1}))
        case _:
            replicas = {"replicas": step.value} if step.verb == "apply" else {}
            env = [{"name": "EDITION", "value": str(step.value)}]
            apply(_model(step.name, namespace, source, pod={"env": env}, **replicas))


def _model(name: str, namespace: str, source: str, **spec: Any) -> Json:
    if name == PULLED:
        return a_model(name, namespace, source={"uri": source}, **spec)
    return a_fleet_model(name, namespace, **spec)
