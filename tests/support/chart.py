"""The chart as tests see it: its values and their schema, the plain manifests, and what Helm makes of other values.

`plain_manifests` needs nothing: it reads what `make chart` wrote. Tests that use `render` or `refusal` are marked
`@pytest.mark.needs("helm")`.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tools
import yaml

Object = dict[str, Any]

CHART = tools.REPOSITORY / "charts/berth"
PLAIN = tools.REPOSITORY / "deploy/berth.yaml"
NAMESPACE = "berth-system"
_SECONDS = 60


def default_values() -> Object:
    """values.yaml."""
    values: Object = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return values


def values_schema() -> Object:
    """values.schema.json."""
    schema: Object = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return schema


def values_at(path: str, value: object) -> Object:
    """Values that set one field: `gateway.replicas`."""
    values: Any = value
    for name in reversed(path.split(".")):
        values = {name: values}
    return dict(values)


def plain_manifests() -> list[Object]:
    """The objects of deploy/berth.yaml."""
    return list(yaml.safe_load_all(PLAIN.read_text(encoding="utf-8")))


def pick(objects: Sequence[Object], kind: str, name: str, namespace: str | None = None) -> Object:
    """The one object of that kind and name."""
    (found,) = (
        one
        for one in objects
        if (one["kind"], one["metadata"]["name"]) == (kind, name)
        and namespace in (None, one["metadata"].get("namespace"))
    )
    return found


def names_of(objects: Sequence[Object], kind: str) -> set[str]:
    """The names of the objects of a kind."""
    return {one["metadata"]["name"] for one in objects if one["kind"] == kind}


def pod_templates(objects: Sequence[Object]) -> dict[str, Object]:
    """The pod templates by the names of their Deployments."""
    return {one["metadata"]["name"]: one["spec"]["template"] for one in objects if one["kind"] == "Deployment"}


def containers_of(template: Object) -> Iterator[Object]:
    """All containers of a pod, sidecars included."""
    yield from template["spec"].get("initContainers", ())
    yield from template["spec"]["containers"]


def settings_text(objects: Sequence[Object]) -> str:
    """The operator's settings file, as the ConfigMap holds it."""
    return str(pick(objects, "ConfigMap", "berth-operator")["data"]["operator.yaml"])


def rules_of(role: Object) -> dict[tuple[str, str], set[str]]:
    """Verbs by group and resource of a role."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                verbs.setdefault((group, resource), set()).update(rule["verbs"])
    return verbs


def render(
    folder: Path, values: Mapping[str, Any] | None = None, *, chart: Path = CHART, namespace: str = NAMESPACE
) -> list[Object]:
    """What Helm makes of the chart with these values. `folder` is for a file of ours."""
    done = _template(folder, values or {}, chart, namespace)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def refusal(folder: Path, values: Mapping[str, Any]) -> str:
    """What Helm says when it refuses these values."""
    done = _template(folder, values, CHART, NAMESPACE)
    assert done.returncode != 0, "these values are taken"
    return done.stderr


def helm(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm to its end, with a cluster or without."""
    command = [str(tools.find("helm")), *(["--kubeconfig", str(kubeconfig)] if kubeconfig else []), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)


def _template(folder: Path, values: Mapping[str, Any], chart: Path, namespace: str) -> subprocess.CompletedProcess[str]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
    return helm("template", "berth", str(chart), "--namespace", namespace, "--values", str(file))
