"""What the API server takes in and only Berth can refuse is refused by a condition within seconds. Leaves nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from manifest_tables import BAD

from berth_kube.resources import Resource
from e2e.support.manifests import a_namespace, a_pinned_model, apply
from e2e.support.objects import MODELS, ROUTES, Json, Objects, condition_of
from e2e.support.programs import kubectl
from e2e.support.release import Release
from e2e.support.starts import Starts
from e2e.support.until import until

NAMESPACE = "refused"
TOLD_SECONDS = 5.0

BY_CLUSTER = yaml.safe_load(Path(__file__).with_name("refused_by_conditions.yaml").read_text(encoding="utf-8"))
BY_CODE = [
    {**entry, "condition": "Accepted", "reason": "ArgumentRefused", "names": entry["path"]}
    for entry in BAD
    if entry.get("admission", True) is False
]


@pytest.fixture(scope="module", autouse=True)
def namespace(release: Release, quickstart: Starts) -> Iterator[None]:
    apply(a_namespace(NAMESPACE))
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def name_for(entry: Json) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(entry["what"]).lower())[:50].strip("-")


def document(entry: Json) -> Json:
    name = name_for(entry)
    if "model" in entry:
        return a_pinned_model(name, NAMESPACE, **entry["model"])
    spec = {"names": [name], "rules": [{"backends": [{"backendRef": {"name": "x"}}]}], **entry["route"]}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "berth.dev/v1alpha1", "kind": "ModelRoute", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("entry", [*BY_CLUSTER, *BY_CODE], ids=lambda entry: entry["what"])
def test_a_condition_names_the_field_and_the_remedy_within_seconds(objects: Objects, entry: Json) -> None:
    resource = MODELS if "model" in entry else ROUTES
    apply(document(entry))
    condition = until(
        lambda: said_false(objects, resource, entry),
        seconds=TOLD_SECONDS,
        what=f"{entry['condition']} is False",
        seen=lambda: objects.read(resource, NAMESPACE, name_for(entry)).get("status"),
    )
    assert condition["reason"] == entry["reason"] or not entry["reason"], condition
    assert entry["names"] in condition["message"], condition
    assert entry["says"] in condition["message"], condition


def said_false(objects: Objects, resource: Resource, entry: Json) -> Json | None:
    condition = condition_of(objects.read(resource, NAMESPACE, name_for(entry)), entry["condition"])
    return condition if condition is not None and condition["status"] == "False" else None
