"""What a busy user does in a namespace, as values: the same steps can be carried out twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from e2e.support.manifests import a_fleet_model, a_route, apply
from e2e.support.programs import kubectl

NAMES = ("ada", "bede", "cato", "dido")
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


def carry_out(step: Step, namespace: str) -> None:
    """Do it by kubectl."""
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
            apply(a_fleet_model(step.name, namespace, pod={"env": env}, **replicas))
