"""What this version does not carry out is refused by name; nothing is silently ignored."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from model_builders import a_backend, a_model, a_route

from berth_api.conditions import Reason, accepted_condition
from berth_api.schema import KINDS, kind_schema
from berth_api.support import CLUSTER_MODEL, LAPTOP_MODEL, laptop_notes, refusals_of, unsupported_fields

CARRIED_OUT = {
    "Model": {
        *(
            "spec.source.uri",
            "spec.source.files",
            "spec.source.digest",
            "spec.source.secretRef",
            "spec.source.signature",
        ),
        *("spec.task", "spec.engine.type", "spec.engine.args", "spec.engine.image", "spec.accelerator"),
        *("spec.aliases", "spec.exposure", "spec.contextLength", "spec.parallelSequences", "spec.chatTemplate"),
        *("spec.replicas", "spec.suspend", "spec.resources.requests", "spec.resources.limits"),
        *("spec.rollout.drainTimeout", "spec.rollout.startDeadline", "spec.pod", "spec.allowedRoutes"),
        *("spec.cache", "spec.artifact", "spec.trust"),
        *("spec.adapters[].name", "spec.adapters[].source.files", "spec.adapters[].source.digest"),
        *("spec.adapters[].source.secretRef", "spec.adapters[].source.signature"),
        *("spec.draft.tokens", "spec.draft.minProbabilityPercent", "spec.draft.source.signature"),
        *("spec.draft.source.files", "spec.draft.source.digest", "spec.draft.source.secretRef"),
    },
    "ModelRoute": {
        *("spec.names", "spec.rules[].match.headers"),
        *("spec.rules[].backends[].weight", "spec.rules[].backends[].backendRef.kind"),
        *("spec.rules[].backends[].backendRef.name", "spec.rules[].backends[].backendRef.namespace"),
        *("spec.rules[].fallbacks[].backendRef.kind", "spec.rules[].fallbacks[].backendRef.name"),
        *("spec.rules[].backends[].backendRef.adapter", "spec.rules[].fallbacks[].backendRef.adapter"),
        *("spec.rules[].fallbacks[].backendRef.namespace", "spec.rules[].timeouts.firstByte"),
        *("spec.rules[].timeouts.idle", "spec.rules[].retries.attempts", "spec.rules[].retries.retryOn"),
    },
}


def leaves(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if "properties" in schema:
        for name, part in schema["properties"].items():
            yield from leaves(part, f"{path}.{name}")
    elif "items" in schema and "properties" in schema["items"]:
        yield from leaves(schema["items"], f"{path}[]")
    else:
        yield path


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_either_carried_out_or_refused(kind: str) -> None:
    refused = [line.path for line in refusals_of(kind)]
    covered = (*refused, *CARRIED_OUT[kind])
    # The members of a union are covered by its discriminator, which is refused for every word but the default.
    unions = tuple(path.removesuffix("type") for path in refused if path.endswith("affinity.type"))
    for leaf in leaves(kind_schema(kind)["properties"]["spec"], "spec"):
        assert leaf.startswith((*(f"{path}." for path in covered), *(f"{path}[" for path in covered), *unions)) or (
            leaf in covered
        ), leaf


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_of_the_table_names_a_field_that_exists(kind: str) -> None:
    lines = (*refusals_of(kind), *((*LAPTOP_MODEL, *CLUSTER_MODEL) if kind == "Model" else ()))
    for line in lines:
        part = kind_schema(kind)
        for step in line.path.split("."):
            part = part["properties"][step.removesuffix("[]")]
            part = part["items"] if step.endswith("[]") else part


REFUSED_MODELS: dict[str, dict[str, Any]] = {
    "spec.source.uri": {"source": {"uri": "gs://models/qwen3"}},
    "spec.draft.source.uri": {"draft": {"source": {"uri": "pvc://models/small"}}},
    "spec.autoscaling": {"autoscaling": {"maxReplicas": 2}},
    "spec.rollout.strategy": {"rollout": {"strategy": "Surge"}},
    "spec.adapters[0].source.uri": {"adapters": [{"name": "sql", "source": {"uri": "gs://loras/sql"}}]},
    "spec.access.keys": {"access": {"keys": ["a"]}},
    "spec.limits": {"limits": {"maxTokens": 1}},
}
REFUSED_RULES: dict[str, dict[str, Any]] = {
    "spec.rules[0].match.keys": {"match": {"keys": ["a"]}},
    "spec.rules[0].canary": {"canary": {"backend": "qwen", "steps": [50]}},
    "spec.rules[0].affinity.type": {"affinity": {"type": "Prefix"}},
}


@pytest.mark.parametrize("path", REFUSED_MODELS)
@pytest.mark.parametrize("laptop", [True, False])
def test_a_model_that_asks_for_what_is_still_to_come_is_refused(path: str, laptop: bool) -> None:
    (error,) = unsupported_fields(a_model(**REFUSED_MODELS[path]), laptop=laptop)
    assert error.path == path
    assert error.reason == Reason.UNSUPPORTED_FIELD
    assert error.remedy


@pytest.mark.parametrize("path", REFUSED_RULES)
def test_a_route_that_asks_for_what_is_still_to_come_is_refused(path: str) -> None:
    rule = {"backends": [a_backend("qwen")], **REFUSED_RULES[path]}
    (error,) = unsupported_fields(a_route(rules=[rule]))
    assert (error.path, error.reason) == (path, Reason.UNSUPPORTED_FIELD)


@pytest.mark.parametrize(
    ("path", "spec"), [("spec.access.keys", {"access": {"keys": ["a"]}}), ("spec.limits", {"limits": {"maxTokens": 1}})]
)
def test_a_route_with_keys_or_limits_is_refused(path: str, spec: dict[str, Any]) -> None:
    (error,) = unsupported_fields(a_route(**spec))
    assert error.path == path


def test_every_line_of_the_tables_is_tried_above() -> None:
    assert {path.replace("[0]", "[]") for path in REFUSED_MODELS} == {line.path for line in refusals_of("Model")}
    tried = {path.replace("[0]", "[]").replace("[1]", "[]") for path in REFUSED_RULES} | {
        "spec.access.keys",
        "spec.limits",
    }
    assert {line.path for line in refusals_of("ModelRoute")} <= tried


def test_what_works_is_not_refused() -> None:
    model = a_model(
        source={"uri": "oci://r/m", "digest": "sha256:" + "0" * 64},
        task="Embedding",
        engine={"type": "Torch"},
        aliases=["a"],
        exposure="RoutesOnly",
        context_length=1,
        parallel_sequences=1,
        replicas=0,
        suspend=True,
        rollout={"drainTimeout": "1s", "startDeadline": "1s"},
        pod={"env": [{"name": "A", "value": "1"}], "nodeSelector": {"disk": "ssd"}, "affinity": {}},
        resources={"limits": {"memory": "8Gi"}},
        accelerator={"memory": "24Gi"},
        allowed_routes={"namespaces": ["b"]},
        trust={"pickle": True, "remoteCode": True},
        cache={"type": "Pod"},
        draft={"source": {"uri": "oci://r/small"}, "tokens": 8},
        adapters=[{"name": "sql", "source": {"uri": "oci://r/sql"}}, {"name": "poem", "source": {"uri": "hf://a/b"}}],
    )
    assert unsupported_fields(model, laptop=True) == ()
    assert unsupported_fields(model) == ()
    rule = {
        "match": {"headers": [{"name": "x-tier", "value": "gold"}]},
        "backends": [a_backend("a", 9), a_backend("b", 1, namespace="other")],
        "fallbacks": [{"backendRef": {"name": "c"}}, {"backendRef": {"name": "a", "adapter": "sql"}}],
        "timeouts": {"firstByte": "1s"},
        "retries": {"attempts": 0},
    }
    assert unsupported_fields(a_route(rules=[rule])) == ()


def test_a_file_of_the_laptop_is_no_source_in_a_cluster() -> None:
    model = a_model(source={"uri": "file:///models/a.gguf"})
    assert unsupported_fields(model, laptop=True) == ()
    (error,) = unsupported_fields(model)
    assert error.path == "spec.source.uri"
    model = a_model(adapters=[{"name": "sql", "source": {"uri": "file:///loras/sql.gguf"}}])
    assert unsupported_fields(model, laptop=True) == ()
    (error,) = unsupported_fields(model)
    assert error.path == "spec.adapters[0].source.uri"


def _signed(way: str) -> dict[str, Any]:
    return {"uri": "oci://r/m", "signature": {way: {"configMapRef": {"name": "keys", "key": "k"}}}}


ONLY_ON_A_CLUSTER: dict[str, dict[str, Any]] = {
    "spec.source.secretRef": {"source": {"uri": "oci://r/m", "secretRef": {"name": "token"}}},
    **{f"spec.source.signature.{way}.configMapRef": {"source": _signed(way)} for way in ("key", "certificate")},
    **{
        f"spec.adapters[0].source.signature.{way}.configMapRef": {"adapters": [{"name": "sql", "source": _signed(way)}]}
        for way in ("key", "certificate")
    },
    **{
        f"spec.draft.source.signature.{way}.configMapRef": {"draft": {"source": _signed(way)}}
        for way in ("key", "certificate")
    },
    "spec.adapters[0].source.secretRef": {
        "adapters": [{"name": "sql", "source": {"uri": "oci://r/sql", "secretRef": {"name": "token"}}}]
    },
    "spec.draft.source.secretRef": {"draft": {"source": {"uri": "oci://r/small", "secretRef": {"name": "token"}}}},
    "spec.source.uri": {"source": {"uri": "pvc://models/qwen3"}},
    "spec.artifact.format": {"artifact": {"format": "GGUF"}},
    "spec.artifact.task": {"artifact": {"task": "Chat"}},
    "spec.artifact.parameters": {"artifact": {"parameters": 1}},
    "spec.artifact.quantization": {"artifact": {"quantization": "Q4_1"}},
    "spec.artifact.contextLength": {"artifact": {"contextLength": 1}},
    "spec.artifact.sizeBytes": {"artifact": {"sizeBytes": 1}},
    "spec.engine.image": {"engine": {"image": "r/i:1"}},
    "spec.chatTemplate": {"chat_template": {"configMapRef": {"name": "a", "key": "b"}}},
    "spec.pod.env[1].valueFrom": {
        "pod": {
            "env": [{"name": "A", "value": ""}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
        }
    },
}


@pytest.mark.parametrize("path", ONLY_ON_A_CLUSTER)
def test_what_only_a_cluster_has_is_refused_on_a_laptop(path: str) -> None:
    model = a_model(**ONLY_ON_A_CLUSTER[path])
    (error,) = unsupported_fields(model, laptop=True)
    assert error.path == path
    assert "a laptop" in error.message
    assert error.remedy
    assert unsupported_fields(model) == ()


def test_every_line_of_the_laptops_table_is_tried_above() -> None:
    tried = {path.replace("[0]", "[]").replace("[1]", "[]") for path in ONLY_ON_A_CLUSTER}
    assert tried == {line.path for line in LAPTOP_MODEL}


def test_a_laptop_says_what_it_does_otherwise() -> None:
    assert laptop_notes(a_model(pod={"env": [{"name": "A", "value": "1"}]})) == ()
    assert laptop_notes(a_route()) == ()
    notes = laptop_notes(
        a_model(
            replicas=3,
            resources={"requests": {"cpu": 1}},
            accelerator={"profiles": ["l4"]},
            cache={"type": "Claim", "claim": {"claimName": "weights"}},
            pod={"nodeSelector": {"disk": "ssd"}, "labels": {"team": "a"}},
        )
    )
    assert [note.partition(":")[0] for note in notes] == [
        "spec.replicas",
        "spec.resources",
        "spec.accelerator",
        "spec.cache",
        "spec.pod.labels, spec.pod.nodeSelector",
    ]


def test_a_refusal_becomes_a_condition() -> None:
    errors = unsupported_fields(a_model(autoscaling={"maxReplicas": 2}, limits={"maxTokens": 1}))
    condition = accepted_condition(errors, generation=4)
    assert (condition.status, condition.reason, condition.observed_generation) == ("False", "UnsupportedField", 4)
    assert "spec.autoscaling: this version does not carry it out yet; remove it" in condition.message
    assert "spec.limits" in condition.message
