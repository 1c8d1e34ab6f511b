import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oci_artifacts import make_artifact

from berth_api.artifact import Artifact, Format, Task
from berth_store import mediatypes
from berth_store.digest import Digest
from berth_store.errors import NoModelInSource
from berth_store.manifest import Index, Manifest, check_model, choose_manifest, parse_manifest
from berth_store.model_config import build_config, format_count, format_size, parse_config, parse_count

DIGEST = "sha256:" + "a" * 64
CONFIG = {"mediaType": mediatypes.CONFIG_V01, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": mediatypes.GGUF, "digest": "sha256:" + "b" * 64, "size": 3}
GOOD: dict[str, Any] = {"schemaVersion": 2, "mediaType": mediatypes.OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}


def parsed(body: object, media_type: str = "") -> Manifest | Index:
    return parse_manifest(json.dumps(body).encode(), media_type=media_type, origin="r/a:1")


def entry(number: int, **more: object) -> dict[str, object]:
    return {"mediaType": mediatypes.OCI_MANIFEST, "digest": f"sha256:{number:064x}", "size": 5, **more}


def index_of(*entries: dict[str, object]) -> Index:
    index = parsed({"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": list(entries)})
    assert isinstance(index, Index)
    return index


def test_unknown_members_are_passed_over() -> None:
    assert isinstance(parsed({**GOOD, "subject": {"x": 1}, "later": [1]}), Manifest)


def test_a_blob_that_is_named_twice_counts_once() -> None:
    manifest = parsed({**GOOD, "layers": [LAYER, LAYER]})
    assert isinstance(manifest, Manifest)
    assert manifest.size_bytes == 5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"config": {**CONFIG, "digest": "sha256:../../x"}}, "config.digest"),
        ({"config": {**CONFIG, "digest": DIGEST + "\n"}}, "config.digest"),
        ({"config": {**CONFIG, "digest": "sha512:" + "a" * 128}}, "config.digest"),
        ({"layers": [{**LAYER, "size": -1}]}, "layers.0.size"),
        ({"layers": [{**LAYER, "size": 1 << 60}]}, "layers.0.size"),
        ({"layers": [LAYER, {**LAYER, "size": 4}]}, "is given two sizes"),
        ({"layers": [LAYER] * 5000}, "layers"),
        ({"layers": None}, "layers"),
        ({"schemaVersion": 1}, "schemaVersion"),
        ({"mediaType": ["x"]}, "mediaType"),
    ],
)
def test_a_wrong_member_is_named(change: dict[str, object], why: str) -> None:
    with pytest.raises(NoModelInSource, match=why):
        parsed({**GOOD, **change})


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_a_manifest_or_a_clear_refusal(content: bytes) -> None:
    with pytest.raises(NoModelInSource, match="r/a:1"):
        parse_manifest(content, origin="r/a:1")


def test_an_index_is_known_by_its_type_or_by_the_transport() -> None:
    body = {"schemaVersion": 2, "manifests": [entry(1)]}
    assert isinstance(parsed(body), Index)
    assert isinstance(parsed(body, mediatypes.DOCKER_INDEX), Index)
    assert isinstance(parsed({**GOOD, "mediaType": mediatypes.DOCKER_MANIFEST}, mediatypes.OCI_INDEX), Manifest)


def test_the_one_model_of_an_index_is_chosen_whatever_stands_beside_it() -> None:
    attestation = entry(2, annotations={"vnd.docker.reference.type": "attestation-manifest"})
    assert choose_manifest(index_of(entry(1), attestation), "r/a:1").digest == f"sha256:{1:064x}"


def test_several_models_in_an_index_are_listed() -> None:
    several = index_of(entry(1, platform={"os": "linux", "architecture": "amd64"}), entry(2))
    with pytest.raises(NoModelInSource, match=rf"2 manifests \(linux/amd64 sha256:{1:064x}, sha256:{2:064x}\)"):
        choose_manifest(several, "r/a:1")
    with pytest.raises(NoModelInSource, match="0 manifests"):
        choose_manifest(index_of(), "r/a:1")


def of_platform(number: int, architecture: str, os: str = "linux") -> dict[str, object]:
    return entry(number, platform={"os": os, "architecture": architecture})


@pytest.mark.parametrize(("machine", "chosen"), [("amd64", 1), ("arm64", 2)])
def test_of_an_image_for_several_platforms_the_machines_own_is_chosen(machine: str, chosen: int) -> None:
    index = index_of(of_platform(1, "amd64"), of_platform(2, "arm64"), of_platform(3, "amd64", "windows"))
    assert choose_manifest(index, "r/a:1", architecture=machine).digest == f"sha256:{chosen:064x}"


def test_what_says_that_it_is_a_model_wins_over_what_does_not() -> None:
    index = index_of(entry(1), entry(2, artifactType=mediatypes.MODELPACK_MANIFEST), of_platform(3, "amd64"))
    assert choose_manifest(index, "r/a:1").digest == f"sha256:{2:064x}"


def test_an_index_inside_an_index_is_no_model() -> None:
    inner = {**entry(1), "mediaType": mediatypes.OCI_INDEX}
    assert choose_manifest(index_of(inner, entry(2)), "r/a:1").digest == f"sha256:{2:064x}"
    with pytest.raises(NoModelInSource, match="1 manifests"):
        choose_manifest(index_of(inner), "r/a:1")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"config": {**CONFIG, "mediaType": "application/vnd.oci.image.config.v1+json"}}, "container image"),
        ({"config": {**CONFIG, "mediaType": ""}}, "untyped"),
        ({"config": {**CONFIG, "size": 1 << 30}}, "config claims"),
        ({"layers": []}, "no files"),
    ],
)
def test_what_is_no_model_is_refused_by_its_manifest(change: dict[str, object], why: str) -> None:
    manifest = parsed({**GOOD, **change})
    assert isinstance(manifest, Manifest)
    with pytest.raises(NoModelInSource, match=why):
        check_model(manifest, "r/a:1")


@pytest.mark.parametrize("config_type", sorted(mediatypes.MODEL_CONFIGS))
def test_docker_and_cncf_models_are_read(config_type: str) -> None:
    manifest = parse_manifest(make_artifact({"a": b"b"}, config_type=config_type).manifest, origin="x")
    assert isinstance(manifest, Manifest)
    check_model(manifest, "x")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.00"), (999, "999.00"), (1000, "1.00 K"), (134_515_008, "134.52 M"), (8_030_000_000, "8.03 B")],
)
def test_numbers_of_weights_are_written_as_docker_does_and_read_back(count: int, text: str) -> None:
    assert format_count(count) == text
    assert parse_count(text) == pytest.approx(count, rel=0.01)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8B", 8 * 10**9), ("1.5 b", 1_500_000_000), ("1000", 1000), ("many", None), ("-1", None), ("", None)],
)
def test_other_spellings_of_numbers_are_understood(text: str, count: int | None) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("count", "text"), [(5, "5.00B"), (1500, "1.50kB"), (98_364_096, "98.36MB"), (4_100_000_000, "4.10GB")]
)
def test_sizes_are_written_as_docker_does(count: int, text: str) -> None:
    assert format_size(count) == text


def test_a_config_says_again_what_it_was_built_from() -> None:
    artifact = Artifact(
        format=Format.ONNX,
        task=Task.EMBEDDING,
        architecture="bert",
        parameters=22_700_000,
        quantization="F32",
        size_bytes=9,
    )
    content = build_config(artifact, layers=[Digest(DIGEST)], context_length=256, gguf={}, created=None)
    facts = parse_config(content, digest=Digest(DIGEST), size_bytes=123)
    assert facts.created is None
    assert facts.artifact == artifact.model_copy(
        update={"task": Task.AUTO, "digest": DIGEST, "size_bytes": 123, "context_length": 256}
    )


def test_a_config_in_the_cncf_form_is_understood() -> None:
    body = {"config": {"format": "gguf", "paramSize": "8b"}, "descriptor": {"createdAt": "2025-01-01T00:00:00Z"}}
    facts = parse_config(json.dumps(body).encode(), digest=Digest(DIGEST), size_bytes=1)
    assert facts.artifact is not None
    assert facts.artifact.parameters == 8 * 10**9
    assert facts.created is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"config": []}',
        b'{"config": {"format": "tar"}}',
        b"[" * 9999,
        b'{"descriptor": {"created": "2025"}}',
        b'{"created": "0001-01-01T00:00:00Z"}',
        b'{"descriptor": {"licenses": {"MIT": 1}}, "package": {"license": 7}, "config": {"gguf": [], "Labels": "x"}}',
        b'{"descriptor": {"licenses": [["MIT"], ""]}}',
    ],
)
def test_an_odd_config_says_nothing_and_harms_nobody(content: bytes) -> None:
    facts = parse_config(content, digest=Digest(DIGEST), size_bytes=1)
    assert (facts.artifact, facts.created, facts.licenses) == (None, None, ())
