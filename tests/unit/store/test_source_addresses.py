"""Addresses: what `hf://`, `https://` and `s3://` mean, and how the store writes them down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.errors import InvalidSpec
from berth_api.trust import Trust
from berth_store.digest import Digest
from berth_store.reference import Reference
from berth_store.sources.address import Address, parse_name, source_name
from berth_store.sources.locations import BucketLocation, HubLocation

PIN = Digest("sha256:" + "a" * 64)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hf://Qwen/Qwen3-8B", HubLocation("Qwen/Qwen3-8B")),
        ("hf://gpt2", HubLocation("gpt2")),
        ("hf://Qwen/Qwen3-8B@main", HubLocation("Qwen/Qwen3-8B")),
        ("hf://Qwen/Qwen3-8B@refs/pr/1", HubLocation("Qwen/Qwen3-8B", "refs/pr/1")),
        ("hf://a/b:q4_k_m", HubLocation("a/b", quantization="Q4_K_M")),
        ("hf://a/b@v1.0:Q8_0", HubLocation("a/b", "v1.0", "Q8_0")),
        ("s3://models", BucketLocation("models")),
        ("s3://models/qwen/3/", BucketLocation("models", "qwen/3")),
    ],
)
def test_a_location_is_read(text: str, meant: object) -> None:
    name = parse_name(text)
    assert isinstance(name, Address)
    assert name.location == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hf://", "hf:// repository"),
        ("hf://a/b/c", "write hf://organisation/model"),
        ("hf://../b", "hf:// repository"),
        ("hf://a/b--c", "hf:// repository"),
        ("hf://a/b@", "hf:// revision"),
        ("hf://a/b@../../main", "hf:// revision"),
        ("hf://a/b@main:", "hf:// quantisation"),
        ("hf://a/b?x=1", "hf:// repository"),
        ("https://", "https:// address"),
        ("https://host", "name one file"),
        ("https://host/folder/", "name one file"),
        ("https://host:0/file", "https:// address"),
        ("https://host\\@evil/file.gguf", "https:// address"),
        ("https://user:word@host/file.gguf", "Secret"),
        ("s3://UPPER/x", "s3:// bucket"),
        ("s3://a..b/x", "s3:// bucket"),
        ("s3://bucket/../x", "s3:// prefix"),
        ("gs://bucket/x", "nothing is fetched from gs://"),
        ("ftp://host/file", "use one of oci://, hf://, https://, s3://"),
    ],
)
def test_what_can_not_be_right_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said.replace(".", r"\.")):
        parse_name(text)


@pytest.mark.parametrize(
    "address",
    [
        Address(HubLocation("a/B")),
        Address(HubLocation("a/B", "v1", "Q4_K_M"), ("*.gguf", "tokenizer?[a-z]&#%.json"), PIN),
        Address(BucketLocation("models", "a/b"), (), PIN),
        source_name("https://host:8443/a%20b/model.gguf?x=1&y=%2F", PIN),
        source_name("https://host/a%20b/model.gguf", None, ["*.gguf"]),
        source_name("oci://registry.example.com/ai/model:1", None, ["*.json"]),
        source_name(f"oci://registry.example.com/ai/model:1@{PIN}", None, ["*.json"]),
        source_name("hf://a/B", PIN, ["!pickle", "*.bin"], trust=Trust(remote_code=True)),
        source_name("s3://models/a", None, trust=Trust(pickle=True, remote_code=True)),
    ],
)
def test_what_the_store_writes_down_is_read_back(address: Address) -> None:
    assert parse_name(address.key).key == address.key
    assert parse_name(address.key) == address or isinstance(address.location, Reference)


def test_patterns_have_no_order() -> None:
    one = source_name("hf://a/b", None, ["*.json", "*.safetensors"])
    assert one == source_name("hf://a/b", None, ["*.safetensors", "*.json", "*.json"])


def test_what_is_trusted_is_part_of_the_name_for_it_decides_which_files_there_are() -> None:
    plain, trusting = (source_name("hf://a/b", None, trust=Trust(pickle=each)) for each in (False, True))
    assert (plain.key, trusting.key) == ("hf://a/b", "hf://a/b#!pickle")
    assert source_name("hf://a/b", None, ["!pickle"]).key == "hf://a/b#%21pickle"


def test_a_registry_without_patterns_stays_a_reference() -> None:
    assert source_name("oci://host.example/a:1", PIN) == Reference.parse(f"host.example/a:1@{PIN}")
    assert parse_name("smollm2") == Reference.parse("smollm2")


def test_two_pins_must_agree() -> None:
    assert source_name(f"hf://a/b@{PIN}", PIN).digest == PIN
    with pytest.raises(InvalidSpec, match=r"spec\.source\.digest: it pins .* keep one of the two"):
        source_name(f"hf://a/b@{PIN}", "sha256:" + "b" * 64)


def test_the_commit_that_was_found_replaces_a_branch() -> None:
    found = source_name("hf://a/b@main:Q4_K_M", None, (), COMMIT)
    assert isinstance(found, Address)
    assert found.location == HubLocation("a/b", COMMIT, "Q4_K_M")
    assert found.location.is_commit
    with pytest.raises(InvalidSpec, match="is no commit"):
        source_name("hf://a/b", None, (), "main")


@given(
    st.sampled_from(["hf", "https", "s3", "oci", "gs"]),
    st.text(st.sampled_from("abB/@:#%?&.-_ä*\\ \n0[]"), max_size=60),
    st.lists(st.text(min_size=1, max_size=20), max_size=3),
)
def test_any_address_is_refused_in_words_or_read_back_as_it_was(scheme: str, rest: str, files: list[str]) -> None:
    try:
        name = source_name(f"{scheme}://{rest}", None, files)
    except InvalidSpec:
        return  # In words, as the class sees to.
    assert parse_name(name.key).key == name.key
