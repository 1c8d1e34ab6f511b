"""Manifests: what is taken in, what is refused, and with which words."""

from datetime import date
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_tables import BAD, GOOD, document
from model_builders import a_manifest, a_model, a_route

from berth_api.document import MAX_DEPTH, MAX_VALUES
from berth_api.errors import FieldError, InvalidSpec
from berth_api.manifest import parse_object, to_manifest
from berth_api.model_spec import Exposure
from berth_api.route_spec import RetryOn


def errors_of(raw: Any) -> dict[str, str]:
    """What is wrong with a document: path to message and remedy."""
    with pytest.raises(InvalidSpec) as refused:
        parse_object(raw)
    return {error.path: f"{error.message}; {error.remedy}" for error in refused.value.errors}


@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: entry["what"])
def test_a_good_manifest_is_taken_in(entry: dict[str, Any]) -> None:
    assert parse_object(document(entry)).kind in ("Model", "ModelRoute")


@pytest.mark.parametrize("entry", BAD, ids=lambda entry: entry["what"])
def test_a_bad_manifest_is_refused_with_the_field_and_the_remedy(entry: dict[str, Any]) -> None:
    errors = errors_of(document(entry))
    assert entry["path"] in errors
    assert entry["says"] in errors[entry["path"]]


def test_the_tables_are_long_enough_to_mean_something() -> None:
    assert len(BAD) >= 165
    assert len(GOOD) >= 60
    assert len({entry["what"] for entry in BAD + GOOD}) == len(BAD) + len(GOOD)


def test_every_wrong_field_is_named_at_once() -> None:
    spec = {"source": {"uri": "nowhere"}, "replica": 1, "task": "chat", "rollout": {"drainTimeout": "soon"}}
    assert set(errors_of(a_manifest("Model", "Q", spec=spec))) == {
        "metadata.name",
        "spec.source.uri",
        "spec.replica",
        "spec.task",
        "spec.rollout.drainTimeout",
    }


def test_an_error_reads_as_one_sentence() -> None:
    with pytest.raises(InvalidSpec, match=r"^spec\.replica: unknown field `replica`; did you mean `replicas`\?$"):
        parse_object(a_manifest("Model", "m", spec={"source": {"uri": "oci://r/m"}, "replica": 2}))


def test_defaults_are_filled_in() -> None:
    model = a_model("qwen")
    assert model.key == "default/qwen"
    assert model.spec.exposure is Exposure.DIRECT
    assert model.spec.replicas == 1
    assert model.spec.rollout.drain_timeout.seconds == 120
    rule = a_route("chat").spec.rules[0]
    assert rule.timeouts.first_byte.seconds == 60
    assert rule.timeouts.idle.seconds == 900
    assert rule.retries.retry_on == tuple(RetryOn)


@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: entry["what"])
def test_an_object_written_out_is_read_as_the_same_object(entry: dict[str, Any]) -> None:
    parsed = parse_object(document(entry))
    again = parse_object(to_manifest(parsed))
    assert again.spec == parsed.spec
    assert again.key == parsed.key


def test_objects_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        a_model().spec.replicas = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (date(2026, 1, 2), "a date, which JSON can't say; put it in quotes"),
        ({1, 2}, "a set"),
        (b"x", "a bytes"),
        (float("nan"), "an infinite number or none"),
        ("\ud800", "not Unicode text"),
    ],
)
def test_what_only_yaml_can_say_is_refused_with_its_place(value: object, says: str) -> None:
    errors = errors_of(a_manifest("Model", "m", spec={"source": {"uri": value}}))
    assert says in errors["spec.source.uri"]


def test_a_bare_on_is_explained() -> None:
    rule = yaml.safe_load("{backends: [{backendRef: {name: a}}], retries: {on: [Reset]}}")
    errors = errors_of(a_manifest("ModelRoute", "r", spec={"names": ["chat"], "rules": [rule]}))
    assert "put the name in quotes" in errors["spec.rules[0].retries"]


def test_a_document_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {"apiVersion": "berth.dev/v1alpha1", "kind": "Model"}
    loop["spec"] = loop
    assert any(f"more than {MAX_DEPTH} levels" in said for said in errors_of(loop).values())


def test_a_document_that_unfolds_without_end_is_refused() -> None:
    bomb: list[Any] = ["x"] * 100
    for _ in range(6):
        bomb = [bomb] * 100
    assert f"more than {MAX_VALUES:,} values" in errors_of({"spec": bomb})["(document)"]


def test_words_of_a_manifest_can_not_write_to_the_terminal() -> None:
    spec = {"source": {"uri": "oci://r/m"}, "\x1b[2Jx" * 100: 1, "task": "\x1b[31m" * 100}
    with pytest.raises(InvalidSpec) as refused:
        parse_object(a_manifest("Model", "m", spec=spec))
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 1500


@pytest.mark.parametrize("raw", [None, "Model", 3, [], [{}], b"", True])
def test_a_document_that_is_no_object_is_refused(raw: Any) -> None:
    assert "not an object" in errors_of(raw)["(document)"]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.binary(max_size=4)
    | st.sampled_from(["Model", "ModelRoute", "berth.dev/v1alpha1", "Auto", "1m", "4Gi", "a", "oci://r/m", "Claim"])
)
NAMES = st.text(max_size=4) | st.sampled_from(
    [
        *("apiVersion", "kind", "metadata", "spec", "status", "name", "namespace", "labels", "source", "uri", "files"),
        *("digest", "secretRef", "task", "engine", "type", "args", "aliases", "accelerator", "profiles", "memory"),
        *(
            "resources",
            "requests",
            "replicas",
            "autoscaling",
            "maxReplicas",
            "rollout",
            "drainTimeout",
            "cache",
            "claim",
        ),
        *(
            "adapters",
            "draft",
            "pod",
            "env",
            "value",
            "valueFrom",
            "tolerations",
            "affinity",
            "names",
            "rules",
            "match",
            "headers",
        ),
        *("backends", "backendRef", "weight", "canary", "steps", "retries", "retryOn", "conditions"),
        *("artifact", "format"),
    ]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.integers() | st.booleans(), inner, max_size=6)
    ),
    max_leaves=24,
)


@settings(max_examples=300, deadline=None)
@given(raw=ANYTHING)
def test_any_document_is_refused_in_words_or_taken_in(raw: Any) -> None:
    taken_in_or_refused(raw)


@settings(max_examples=500, deadline=None)
@given(kind=st.sampled_from(["Model", "ModelRoute"]), metadata=ANYTHING, spec=ANYTHING, status=ANYTHING)
def test_any_content_of_the_right_envelope_is_refused_in_words_or_taken_in(
    kind: str, metadata: Any, spec: Any, status: Any
) -> None:
    taken_in_or_refused(
        {"apiVersion": "berth.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": status}
    )


@st.composite
def one_wrong_value(draw: st.DrawFn) -> Any:
    """A good manifest with one value anywhere in it replaced by anything."""
    raw = document(draw(st.sampled_from(GOOD)))

    def replace(value: Any) -> Any:
        if isinstance(value, dict) and value and draw(st.booleans()):
            key = draw(st.sampled_from(sorted(value)))
            return {**value, key: replace(value[key])}
        if isinstance(value, list) and value and draw(st.booleans()):
            index = draw(st.integers(0, len(value) - 1))
            return [*value[:index], replace(value[index]), *value[index + 1 :]]
        return draw(ANYTHING)

    return {**raw, "spec": replace(raw["spec"])}


@settings(max_examples=500, deadline=None)
@given(raw=one_wrong_value())
def test_any_value_anywhere_in_a_manifest_is_refused_in_words_or_taken_in(raw: Any) -> None:
    taken_in_or_refused(raw)


def taken_in_or_refused(raw: Any) -> None:
    errors: tuple[FieldError, ...] = ()
    try:
        parsed = parse_object(raw)
    except InvalidSpec as refused:
        errors = refused.errors
    else:
        assert parse_object(to_manifest(parsed)).spec == parsed.spec
    for error in errors:
        assert error.path
        assert error.message
        assert error.remedy
        assert "\n" not in str(error)
