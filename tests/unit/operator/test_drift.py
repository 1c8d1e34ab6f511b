"""When an object must be applied again: when our wish has changed, or somebody has changed the object."""

import copy
from typing import Any

import pytest
from operator_builders import Json, a_resolved_world

from berth_operator.drift import is_part_of, needs_apply


def the_deployment() -> Json:
    return copy.deepcopy(a_resolved_world(replicas=2).deployment)


def as_the_server_keeps_it(wanted: Json) -> Json:
    """With defaults, foreign annotations and quantities in another form."""
    found = copy.deepcopy(wanted)
    found["metadata"] |= {"resourceVersion": "7", "selfLink": "x"}
    found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    pod = found["spec"]["template"]["spec"]
    pod |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    pod["containers"][0]["resources"]["requests"]["memory"] = str(1112 << 20)
    pod["containers"][0]["livenessProbe"]["successThreshold"] = 1
    pod["containers"].append({"name": "mesh", "image": "proxy"})
    return found


def test_what_is_not_there_is_applied() -> None:
    assert needs_apply(the_deployment(), None)


def test_what_the_server_adds_is_no_reason() -> None:
    wanted = the_deployment()
    assert not needs_apply(wanted, as_the_server_keeps_it(wanted))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Service", ("selector",)),
        ("PodDisruptionBudget", ("selector", "matchLabels")),
        ("NetworkPolicy", ("podSelector", "matchLabels")),
    ],
)
def test_a_selector_that_somebody_narrowed_is_applied_again(kind: str, path: tuple[str, ...]) -> None:
    wanted = a_resolved_world(replicas=2).children[kind, "qwen-engine"]
    found = copy.deepcopy(wanted)
    assert not needs_apply(wanted, found)
    selector = found["spec"]
    for part in path:
        selector = selector[part]
    selector["team"] = "a"
    assert needs_apply(wanted, found)


def test_another_wish_is_applied_even_where_it_takes_something_away() -> None:
    wanted = the_deployment()
    found = as_the_server_keeps_it(wanted)
    found["metadata"]["annotations"]["berth.dev/applied-hash"] = "another"
    assert needs_apply(wanted, found)


@pytest.mark.parametrize(
    "path",
    [
        ("spec", "replicas"),
        ("spec", "template", "spec", "containers", 0, "image"),
        ("spec", "template", "spec", "containers", 0, "resources", "requests", "memory"),
        ("spec", "template", "spec", "automountServiceAccountToken"),
        ("spec", "template", "metadata", "labels", "berth.dev/loading"),
        ("spec", "strategy", "rollingUpdate", "maxSurge"),
        ("metadata", "labels", "berth.dev/model"),
        ("metadata", "ownerReferences", 0, "controller"),
    ],
)
@pytest.mark.parametrize("change", ["other", "gone"])
def test_a_field_that_somebody_changed_is_applied_again(path: tuple[Any, ...], change: str) -> None:
    wanted = the_deployment()
    found = as_the_server_keeps_it(wanted)
    *way, last = path
    parent: Any = found
    for step in way:
        parent = parent[step]
    was = parent[last]
    if change == "other":
        parent[last] = not was if isinstance(was, bool) else "7777"
    else:
        del parent[last]
    assert needs_apply(wanted, found) is not (change == "gone" and not was)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        (2, "2"),
        ("", None),
        ([], None),
        ({}, None),
        (None, None),
        (False, None),
        (0, None),
        ([{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a", "more": 1}]),
        ([1, 2], [1, 2]),
        ({"a": {}}, {}),
        ([{"x": 1}], [{"x": 1, "y": 2}]),
    ],
)
def test_what_says_the_same_is_part_of_it(wanted: Any, found: Any) -> None:
    assert is_part_of(wanted, found)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("1", "2"),
        ("a", "b"),
        (True, False),
        (True, 1.5),
        (True, None),
        ({"a": 1}, None),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, [1]),
        ([1], "1"),
        ([1], [1, 2]),
        ([1, 2], [2, 1]),
        ([{"name": "a"}], []),
        ([{"name": "a", "x": 1}], [{"name": "a", "x": 2}]),
        ([{"mountPath": "/a"}, {"mountPath": "/b"}], [{"mountPath": "/a"}]),
    ],
)
def test_what_says_something_else_is_not(wanted: Any, found: Any) -> None:
    assert not is_part_of(wanted, found)
