import pytest

from berth_api.claim_path import ClaimPath, claim_path


@pytest.mark.parametrize(
    ("uri", "claim", "path"),
    [
        ("pvc://models/qwen3", "models", "qwen3"),
        ("pvc://models", "models", ""),
        ("pvc://models/", "models", ""),
        ("pvc://team.models-1/a/b.gguf", "team.models-1", "a/b.gguf"),
        (f"pvc://models/a@sha256:{'0' * 64}", "models", "a"),
        ("pvc://hub/models--a--b/snapshots/c/", "hub", "models--a--b/snapshots/c"),
    ],
)
def test_a_place_on_a_claim_is_read_and_written(uri: str, claim: str, path: str) -> None:
    found = claim_path(uri)
    assert found == ClaimPath(claim, path)
    assert claim_path(found.uri) == found


@pytest.mark.parametrize(
    "uri",
    ["oci://r/m", "pvc://", "pvc:///a", "pvc://Models/a", "pvc://m/../n", "pvc://m/.", "pvc://m//a", "pvc://-m/a"],
)
def test_what_names_no_place_is_none(uri: str) -> None:
    assert claim_path(uri) is None
