import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.errors import InvalidSpec
from berth_store.digest import Digest
from berth_store.reference import Reference

ZEROS = Digest("sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("smollm2", "docker.io/ai/smollm2:latest"),
        ("smollm2:135m", "docker.io/ai/smollm2:135m"),
        ("someone/model", "docker.io/someone/model:latest"),
        ("docker.io/smollm2", "docker.io/ai/smollm2:latest"),
        ("oci://ghcr.io/a/b/c:1", "ghcr.io/a/b/c:1"),
        ("GHCR.io/a/b", "ghcr.io/a/b:latest"),
        ("localhost/mine", "localhost/mine:latest"),
        ("localhost:5000/mine", "localhost:5000/mine:latest"),
        ("127.0.0.1:5000/mine:v1", "127.0.0.1:5000/mine:v1"),
        ("[::1]:5000/mine", "[::1]:5000/mine:latest"),
        (f"ghcr.io/a/b@{ZEROS}", f"ghcr.io/a/b@{ZEROS}"),
        (f"ghcr.io/a/b:v1@{ZEROS}", f"ghcr.io/a/b:v1@{ZEROS}"),
        ("a/b__c.d-e--f_g", "docker.io/a/b__c.d-e--f_g:latest"),
    ],
)
def test_what_is_left_out_is_filled_in_as_docker_model_runner_does(written: str, meant: str) -> None:
    assert str(Reference.parse(written)) == meant


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("", "reference"),
        ("oci://", "reference"),
        ("hf://a/b", "reference"),
        ("/", "reference repository"),
        ("a//b", "reference repository"),
        ("a/b/", "reference repository"),
        ("ghcr.io/a___b", "reference repository"),
        ("ghcr.io/a..b", "reference repository"),
        ("ghcr.io/../b", "reference repository"),
        ("ghcr.io/-a", "reference repository"),
        ("ghcr.io/a\n", "reference repository"),
        ("ghcr.io/a b", "reference repository"),
        ("ghcr.io/a:", "reference tag"),
        ("ghcr.io/a:.b", "reference tag"),
        ("ghcr.io/a:b:c", "reference tag"),
        ("ghcr.io/a:" + "t" * 129, "reference tag"),
        ("ghcr.io:0/a", "reference port"),
        ("ghcr.io:65536/a", "reference port"),
        ("ghcr.io:http/a", "reference port"),
        ("-x.io/a", "reference host"),
        ("x..io/a", "reference host"),
        ("[::g]:5000/a", "reference host"),
        ("user@ghcr.io/a", "reference digest"),
        ("ghcr.io/a@sha256:" + "0" * 63, "reference digest"),
        ("ghcr.io/a@sha256:" + "A" * 64, "reference digest"),
        ("ghcr.io/a@sha512:" + "0" * 128, "reference digest"),
        ("ghcr.io/a@sha256:../../etc/passwd", "reference digest"),
        ("ghcr.io/" + "a" * 250, "reference name"),
    ],
)
def test_a_name_outside_the_grammar_is_refused_and_its_part_is_named(written: str, part: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        Reference.parse(written)
    assert refused.value.errors[0].path == part
    assert refused.value.errors[0].remedy


def test_upper_case_is_refused_with_the_name_that_was_probably_meant() -> None:
    with pytest.raises(InvalidSpec, match="did you mean 'qwen/qwen3'"):
        Reference.parse("Qwen/Qwen3")


def test_localhost_without_a_port_is_this_machines_store_only() -> None:
    assert Reference.parse("localhost/mine").is_local
    assert not Reference.parse("localhost:5000/mine").is_local
    assert not Reference.parse("127.0.0.1/mine").is_local


def test_the_digest_decides_what_is_asked_for_and_under_which_name_it_is_kept() -> None:
    pinned = Reference.parse(f"ghcr.io/a/b:v1@{ZEROS}")
    assert pinned.identifier == ZEROS
    assert pinned.key == f"ghcr.io/a/b@{ZEROS}"
    assert Reference.parse("ghcr.io/a/b:v1").identifier == "v1"


@pytest.mark.parametrize(
    ("reference", "familiar"),
    [
        ("docker.io/ai/smollm2:latest", "smollm2"),
        ("docker.io/ai/smollm2:135m", "smollm2:135m"),
        ("docker.io/a/b:latest", "a/b"),
        ("docker.io/localhost/b:latest", "docker.io/localhost/b"),
        ("ghcr.io/a/b:latest", "ghcr.io/a/b"),
    ],
)
def test_the_familiar_form_leaves_out_what_goes_without_saying(reference: str, familiar: str) -> None:
    assert Reference.parse(reference).familiar == familiar


ALNUM = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)
PARTS = st.lists(ALNUM, min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([".", "_", "__", "-", "--"]).map(lambda joint: joint.join(words))
)
HOSTS = st.one_of(
    st.lists(ALNUM, min_size=2, max_size=4).map(".".join),
    st.sampled_from(["localhost", "docker.io", "127.0.0.1", "[::1]"]),
)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda digits: Digest(f"sha256:{digits}"))
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@st.composite
def references(draw: st.DrawFn) -> Reference:
    tag = draw(st.none() | TAGS)
    host = draw(HOSTS)
    parts = draw(st.lists(PARTS, min_size=2 if host == "docker.io" else 1, max_size=4))
    return Reference(
        host=host,
        port=draw(st.none() | st.integers(1, 65535)),
        repository="/".join(parts),
        tag=tag,
        digest=draw(DIGESTS if tag is None else st.none() | DIGESTS),
    )


@given(references())
def test_what_is_written_is_read_back_the_same(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(f"oci://{reference}") == reference


@given(references())
def test_the_familiar_form_means_the_same(reference: Reference) -> None:
    assert Reference.parse(reference.familiar) == reference


@given(st.text(max_size=80))
def test_any_text_is_either_a_reference_or_a_clear_refusal(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidSpec:
        return
    assert Reference.parse(str(reference)) == reference
