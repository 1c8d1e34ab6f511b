"""What a resolver's report is believed, and what a Model knows without one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_builders import a_model
from operator_builders import DIGEST, a_refusal, a_report

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import InvalidSpec
from berth_operator.resolution import (
    Refusal,
    Resolution,
    artifact_of,
    inputs_of,
    known_by_spec,
    pinned_digest,
    read_report,
    read_resolution,
    render_resolution,
)

PINNED: dict[str, Any] = {"uri": "oci://r.example/m:1", "digest": DIGEST}
PEM = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
SIGNED: dict[str, Any] = {"uri": "oci://localhost/qwen:latest", "signature": {"key": {"pem": PEM}}}
PLAIN_INPUTS = "b20db4cd"
PATHS = ["", "model.gguf", "a/b.onnx", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\nb", "a" * 600]


def test_a_report_is_read() -> None:
    found = read_report(a_report(), "inputs")
    assert isinstance(found, Resolution)
    assert (found.inputs, found.artifact.format, found.artifact.digest) == ("inputs", Format.GGUF, DIGEST)
    assert found.weights == "model.gguf"


def test_what_is_resolved_is_the_same_after_it_was_kept() -> None:
    found = read_report(a_report(architecture="qwen3", contextLength=32768), "inputs")
    assert isinstance(found, Resolution)
    assert read_resolution(render_resolution(found)) == found


def test_a_report_in_any_letters_is_still_read_after_it_was_kept() -> None:
    report = json.loads(a_report()) | {"weights": "\N{CAT FACE}" * 500, "notes": ["\N{CAT FACE}" * 512] * 9}
    found = read_report(json.dumps(report, ensure_ascii=False), "inputs")
    assert isinstance(found, Resolution)
    assert len(found.notes) == 8
    assert read_resolution(render_resolution(found)) == found


@pytest.mark.parametrize(
    "reason",
    [
        *("SourceNotFound", "SourceUnauthorized", "LicenseGated", "SourceUnreachable", "DigestMismatch"),
        *(
            "SignatureMissing",
            "SignatureInvalid",
            "NoModelInSource",
            "UnsupportedFormat",
            "PickleRefused",
            "InvalidSpec",
        ),
    ],
)
def test_a_refusal_keeps_its_reason_and_its_words(reason: str) -> None:
    assert read_report(a_refusal(reason, "no such tag"), "i") == Refusal(reason, "no such tag")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Traceback (most recent call last):",
        "7",
        "[" * 4096,
        '{"reason": 7}',
        a_refusal("Ready"),
        a_refusal("Whatever"),
        a_report(digest=None),
        a_report(digest="sha256:short"),
        a_report(format="Floppy"),
        a_report(sizeBytes=-1),
        a_report(sizeBytes=10**30),
        a_report(contextLength=1 << 61),
        a_report(quantization="\ud800"),
        a_report(parameters="many"),
        json.dumps({"artifact": []}),
        "x" * 100_000,
    ],
)
def test_what_can_not_be_believed_is_a_source_that_was_not_reached(message: str) -> None:
    found = read_report(message, "i")
    assert isinstance(found, Refusal)
    assert found.reason == "SourceUnreachable"
    assert found.message
    assert len(found.message) < 4096


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_leaves_the_view_counts_as_unknown(path: str) -> None:
    report = json.loads(a_report()) | {"weights": path}
    found = read_report(json.dumps(report), "i")
    assert isinstance(found, Resolution)
    assert found.weights == (path if path in ("", "model.gguf", "a/b.onnx") else "")


@given(st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_a_report_or_a_refusal(text: str) -> None:
    assert isinstance(read_report(text, "i"), Resolution | Refusal)
    assert read_resolution(text) is None


def test_the_question_changes_with_what_may_change_the_answer() -> None:
    questions = [
        a_model(),
        a_model(source={"uri": "oci://localhost/qwen:other"}),
        a_model(source={"uri": "oci://localhost/qwen:latest", "digest": DIGEST}),
        a_model(source={"uri": "oci://localhost/qwen:latest", "secretRef": {"name": "s"}}),
        a_model(source=SIGNED),
        a_model(source=SIGNED | {"signature": {"key": {"configMapRef": {"name": "keys", "key": "k"}}}}),
        a_model(task="Embedding"),
        a_model(engine={"type": "LlamaCpp"}),
        a_model(artifact={"format": "ONNX"}),
        a_model(chat_template={"configMapRef": {"name": "c", "key": "k"}}),
        a_model(trust={"pickle": True}),
        a_model(trust={"remoteCode": True}),
    ]
    assert len({inputs_of(model.spec) for model in questions}) == len(questions)


def test_the_question_stays_where_only_the_serving_changes() -> None:
    model = a_model(replicas=3, engine={"args": ["threads=2"]}, artifact={"sizeBytes": 7}, context_length=9)
    assert inputs_of(model.spec) == inputs_of(a_model().spec)


@pytest.mark.parametrize(
    "spec", [{"artifact": {"format": "GGUF", "task": "Chat"}}, {"artifact": {"format": "GGUF"}, "task": "Chat"}]
)
def test_a_model_that_pins_digest_format_and_task_needs_no_job(spec: dict[str, Any]) -> None:
    found = known_by_spec(a_model(source=PINNED, **spec).spec)
    assert found is not None
    assert found.artifact == Artifact(format=Format.GGUF, task=Task.CHAT, digest=DIGEST)


@pytest.mark.parametrize(
    "spec",
    [
        {"source": PINNED},
        {"source": PINNED, "artifact": {"format": "GGUF"}},
        {"source": PINNED, "task": "Chat"},
        {"artifact": {"format": "GGUF", "task": "Chat"}},
        {"source": PINNED | {"signature": SIGNED["signature"]}, "artifact": {"format": "GGUF", "task": "Chat"}},
    ],
)
def test_a_model_that_leaves_one_of_them_open_needs_one(spec: dict[str, Any]) -> None:
    assert known_by_spec(a_model(**spec).spec) is None


def test_a_digest_at_the_end_of_the_uri_is_a_pin() -> None:
    assert pinned_digest(a_model(source={"uri": f"oci://r.example/m@{DIGEST}"}).spec.source) == DIGEST


def test_two_pins_that_differ_are_refused() -> None:
    source = a_model(source={"uri": f"oci://r.example/m@{DIGEST}", "digest": "sha256:" + "0" * 64}).spec.source
    with pytest.raises(InvalidSpec, match=r"spec\.source\.digest: it pins .* keep one of the two"):
        pinned_digest(source)


def test_what_the_user_knows_better_wins() -> None:
    found = read_report(a_report(), "i")
    assert isinstance(found, Resolution)
    artifact = artifact_of(a_model(task="Completion", artifact={"sizeBytes": 7, "quantization": "Q8"}), found)
    assert (artifact.task, artifact.size_bytes, artifact.quantization) == (Task.COMPLETION, 7, "Q8")
    assert artifact.digest == DIGEST


@pytest.mark.parametrize("revision", ["main", "c0ffee", "C0FFEE" * 6 + "C0FF", 7, None, "; rm -rf /"])
def test_a_revision_is_a_commit_or_nothing(revision: object) -> None:
    found = read_report(json.dumps(json.loads(a_report()) | {"revision": revision}), "i")
    assert isinstance(found, Resolution)
    assert found.revision == ""


def test_a_commit_is_kept() -> None:
    commit = "0123456789" * 4
    found = read_report(json.dumps(json.loads(a_report()) | {"revision": commit}), "i")
    assert isinstance(found, Resolution)
    assert found.revision == commit
    assert read_resolution(render_resolution(found)) == found


def test_patterns_are_part_of_the_question_and_their_absence_is_not() -> None:
    plain = a_model(source={"uri": "oci://r.example/m:1"})
    chosen = a_model(source={"uri": "oci://r.example/m:1", "files": ["*.json"]})
    assert inputs_of(plain.spec) != inputs_of(chosen.spec)
    assert inputs_of(plain.spec) == PLAIN_INPUTS, "a Model that was resolved by an earlier version is not asked again"
