"""Builders of Models, ModelRoutes and artifacts for every room's tests: only what a test is about has to be said.

Spec fields are given in Python's or the manifest's words: `a_model("qwen", context_length=2048)`,
`a_model("qwen", rollout={"drainTimeout": "1s"})`. Everything goes through `parse_object`, so a builder can't make what
a user could not write.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from berth_api.artifact import Artifact, Format, Task
from berth_api.manifest import parse_object
from berth_api.model import Model
from berth_api.route import ModelRoute


def a_model(name: str = "qwen", *, namespace: str = "default", created: str | None = None, **spec: Any) -> Model:
    """A Model whose source is `oci://localhost/NAME:latest` unless said otherwise."""
    written = {"source": {"uri": f"oci://localhost/{name}:latest"}, **_camel(spec)}
    model = parse_object(a_manifest("Model", name, namespace=namespace, created=created, spec=written))
    assert isinstance(model, Model)
    return model


def a_route(
    name: str = "chat",
    *,
    names: Sequence[str] | None = None,
    backends: Mapping[str, int] | None = None,
    namespace: str = "default",
    created: str | None = None,
    **spec: Any,
) -> ModelRoute:
    """A ModelRoute from `names` (its own by default) to weighted `backends`; `rules=` replaces the one rule whole."""
    rule = {"backends": [a_backend(backend, weight) for backend, weight in (backends or {"qwen": 1}).items()]}
    written = {"names": list(names or [name]), "rules": [rule], **_camel(spec)}
    route = parse_object(a_manifest("ModelRoute", name, namespace=namespace, created=created, spec=written))
    assert isinstance(route, ModelRoute)
    return route


def a_backend(name: str, weight: int = 1, **reference: Any) -> dict[str, Any]:
    """One entry of `spec.rules[].backends`."""
    return {"backendRef": {"kind": "Model", "name": name, **reference}, "weight": weight}


def an_artifact(format_: Format = Format.GGUF, task: Task = Task.CHAT, **known: Any) -> Artifact:
    """A resolved artifact: a GGUF chat model unless said otherwise."""
    return Artifact(format=format_, task=task, **known)


def a_manifest(
    kind: str, name: str, *, namespace: str = "default", created: str | None = None, spec: Mapping[str, Any]
) -> dict[str, Any]:
    """The document of an object, as YAML would give it."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if created is not None:
        metadata["creationTimestamp"] = created
    return {"apiVersion": "berth.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": dict(spec)}


def _camel(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {to_camel(name): value for name, value in spec.items()}
