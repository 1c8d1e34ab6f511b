"""From documents to what is served, and back."""

from typing import Any

from model_builders import a_manifest
from model_slices import UNREADY, a_slice, an_endpoint

from berth_gateway.declared import trim_object
from berth_gateway.served import Build, Documents, versions_of
from berth_kube.resources import Object


def a_document(
    kind: str, name: str, spec: dict[str, Any], *, namespace: str = "default", generation: int = 1
) -> Object:
    document = a_manifest(kind, name, namespace=namespace, spec=spec)
    document["metadata"] |= {"uid": f"uid-{name}", "generation": generation}
    return trim_object(document)


def a_model(name: str, **more: Any) -> Object:
    return a_document("Model", name, {"source": {"uri": "oci://localhost/a:b"}}, **more)


def a_route(name: str, backend: str, **more: Any) -> Object:
    rules = [{"backends": [{"backendRef": {"kind": "Model", "name": backend}}]}]
    return a_document("ModelRoute", name, {"names": [name], "rules": rules}, **more)


ALL = Documents((a_model("qwen"),), (a_route("chat", "qwen"),), (a_slice("qwen"),))


def test_documents_become_names_models_and_endpoints() -> None:
    served = Build().all_of(ALL)
    assert {"qwen", "chat"} <= set(served.snapshot.names)
    assert served.snapshot.models["default/qwen"].answers


def test_what_is_served_comes_again_from_its_own_documents() -> None:
    served = Build().all_of(ALL)
    assert Build().all_of(served.documents) == served


def test_of_a_bad_edit_the_documents_keep_the_version_that_serves() -> None:
    build = Build()
    good = build.all_of(ALL)
    bad = a_document("Model", "qwen", {"replicas": "many"}, generation=2)
    served = build.all_of(Documents((bad,), ALL.routes, ALL.slices))
    assert served.snapshot == good.snapshot
    assert served.documents.models == ALL.models
    assert build.refused == 1
    assert versions_of(served.models) == {"default/qwen": {"uid": "uid-qwen", "generation": 1}}


def test_only_listed_namespaces_own_bare_names() -> None:
    models = (a_model("qwen", namespace="other"), a_model("llama"))
    names = set(Build(("default",)).all_of(Documents(models)).snapshot.names)
    assert names == {"llama", "default/llama", "other/qwen"}


def test_other_slices_change_the_endpoints_and_nothing_else() -> None:
    build = Build()
    served = build.all_of(ALL)
    later = build.with_slices(served, (a_slice("qwen", an_endpoint("10.0.0.9"), an_endpoint("10.0.0.8", UNREADY)),))
    assert later.snapshot.names == served.snapshot.names
    assert [endpoint.host for endpoint in later.snapshot.models["default/qwen"].state.endpoints] == ["10.0.0.9"]
