"""The steps of the kills come from a seed alone."""

from random import Random

import pytest
from e2e.support.steps import NAMES, ROUTE, build_steps


def test_the_same_seed_gives_the_same_steps() -> None:
    assert build_steps(Random(7), 60) == build_steps(Random(7), 60)
    assert build_steps(Random(7), 60) != build_steps(Random(8), 60)


@pytest.mark.parametrize("seed", range(20))
def test_only_what_is_there_is_edited_and_all_is_there_at_the_end(seed: int) -> None:
    there: set[str] = set()
    steps = build_steps(Random(seed), 60)
    assert len(steps) == 60
    for step in steps:
        assert step.verb in ("apply", "route") or step.name in there
        if step.verb == "apply":
            there.add(step.name)
        elif step.verb == "delete":
            there.remove(step.name)
    assert there == set(NAMES)
    assert steps[-1].name == ROUTE
