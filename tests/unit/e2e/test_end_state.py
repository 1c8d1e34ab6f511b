"""Two runs are compared by what lasts."""

from typing import Any

from e2e.support.end_state import differences, settled_state
from e2e.support.objects import MODELS

from berth_kube.resources import PODS, Resource


class Recorded:
    """A cluster of one namespace, as values."""

    def __init__(self, **found: list[dict[str, Any]]) -> None:
        self._found = found

    def items(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        return self._found.get(resource.kind, [])


def a_run(namespace: str, *, uid: str, second: int, replicas: int = 2) -> Any:
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": f"00:00:{second}"}
    model = {
        "metadata": {"name": "m", "namespace": namespace, "uid": uid, "generation": 3},
        "spec": {"replicas": replicas},
        "status": {
            "replicas": replicas,
            "readyReplicas": replicas,
            "conditions": [ready, {**ready, "type": "Progressing", "reason": "Complete"}],
            "stages": [{"name": "Loaded", "milliseconds": second}],
            "address": f"{namespace}/m",
        },
    }
    pods = [{"metadata": {"name": f"{uid}-{index}", "labels": {"berth.dev/model": "m"}}} for index in range(replicas)]
    return Recorded(**{MODELS.kind: [model], PODS.kind: pods})


def test_times_uids_and_the_namespace_do_not_count() -> None:
    assert settled_state(a_run("one", uid="a", second=1), "one") == settled_state(
        a_run("two", uid="b", second=9), "two"
    )


def test_a_spec_or_a_pod_counts() -> None:
    one = settled_state(a_run("one", uid="a", second=1), "one")
    other = settled_state(a_run("one", uid="a", second=1, replicas=3), "one")
    assert one != other
    assert differences(one, other).splitlines() == [
        ".Model/m.spec.replicas: 2 is 3",
        ".Model/m.status.readyReplicas: 2 is 3",
        ".Model/m.status.replicas: 2 is 3",
        ".pods.m: 2 is 3",
    ]
