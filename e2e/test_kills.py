"""The operator killed without a word twenty times in the midst of its work ends where an undisturbed one ends.

Both runs carry out the same steps: apply, scale, edit and delete of Models, one of them pulled for real, and of a
route. What is random comes from one seed, which BERTH_E2E_SEED sets and a failure shows. Leaves nothing.
"""

import os
import random
import threading
from collections.abc import Iterator

import pytest

from e2e.support.emptied import remove_namespace
from e2e.support.end_state import differences, settled_state
from e2e.support.manifests import a_namespace, apply
from e2e.support.objects import Objects
from e2e.support.operator_pods import OperatorPods
from e2e.support.release import Release
from e2e.support.steps import Step, build_steps, carry_out
from e2e.support.until import until

pytestmark = pytest.mark.endurance

SEED = int(os.environ.get("BERTH_E2E_SEED") or random.SystemRandom().randrange(10**6))
STEPS, KILLS = 40, 20
LATEST_SECONDS = 0.6
# Twenty take-overs are waited for: a short Lease makes them quick, and with a third replica one is there to take over
# while the last one that was killed starts again.
DISTURBED = {
    "operator": {"replicas": 3, "lease": {"durationSeconds": 4, "renewDeadlineSeconds": 2, "retrySeconds": 0.5}}
}


@pytest.fixture(scope="module", autouse=True)
def quick_take_overs(release: Release) -> Iterator[None]:
    release.upgrade(DISTURBED)
    yield
    release.upgrade({})


def run_undisturbed(objects: Objects, namespace: str, steps: tuple[Step, ...], source: str) -> str:
    apply(a_namespace(namespace))
    for step in steps:
        carry_out(step, namespace, source)
    return settled_state(objects, namespace)


@pytest.mark.timeout(600)
def test_twenty_kills_end_where_an_undisturbed_run_ends(
    objects: Objects, release: Release, pushed: dict[str, str]
) -> None:
    print(f"BERTH_E2E_SEED={SEED}")
    (source,) = [uri for uri in pushed.values() if "minilm" in uri]
    chosen = random.Random(SEED)
    steps = build_steps(chosen, STEPS)
    calm = run_undisturbed(objects, "undisturbed", steps, source)
    # Bare names belong to their oldest claimant, so the first run has to be gone.
    remove_namespace(objects, "undisturbed")
    apply(a_namespace("disturbed"))
    operators, moments = OperatorPods(objects), set(chosen.sample(range(STEPS), KILLS))
    killed = []
    for index, step in enumerate(steps):
        if index in moments:
            killed.append(carry_out_and_kill(step, source, operators, chosen.uniform(0, LATEST_SECONDS)))
        else:
            carry_out(step, "disturbed", source)
    assert len(killed) == KILLS
    release.wait()
    until(
        lambda: settled_state(objects, "disturbed") == calm,
        seconds=60,
        what=f"the end of the undisturbed run is reached (BERTH_E2E_SEED={SEED})",
        seen=lambda: differences(calm, settled_state(objects, "disturbed")),
    )
    # While a namespace ends, its objects go one by one, and somebody writes: what comes next wants silence.
    remove_namespace(objects, "disturbed")


def carry_out_and_kill(step: Step, source: str, operators: OperatorPods, after_seconds: float) -> str:
    """Carry out a step, and so long after the beginning kill whoever leads; the pod's name."""
    operators.leader()
    killed: list[str] = []
    timer = threading.Timer(after_seconds, lambda: killed.append(operators.kill_leader()))
    timer.start()
    carry_out(step, "disturbed", source)
    timer.join()
    (name,) = killed
    return name
