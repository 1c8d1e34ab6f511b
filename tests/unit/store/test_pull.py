"""What a pull takes for a model, under which name it is kept, and what it refuses in words."""

import json

import pytest
from lying_registry import LyingRegistry
from oci_artifacts import MadeArtifact, make_artifact
from pulls import CONTENT, QUICK, assert_whole

from berth_store import mediatypes
from berth_store.digest import digest_of
from berth_store.errors import (
    DigestMismatch,
    NoModelInSource,
    SourceNotFound,
    SourceUnauthorized,
)
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.reference import Reference


async def test_a_pinned_reference_that_is_here_asks_nobody(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK)
    pinned = reference.with_digest(artifact.digest)
    assert await pull(store, pinned, registries=QUICK) == artifact.digest
    assert store.resolve(pinned) == artifact.digest


async def test_a_tag_that_moved_is_followed(store: Store, artifact: MadeArtifact) -> None:
    newer = make_artifact({"model.gguf": CONTENT, "LICENSE": b"MIT"})
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK)
        registry.hold("a/model", newer)
        registry.seen.clear()
        assert await pull(store, reference, registries=QUICK) == newer.digest
        assert all(span is None for span in registry.spans()), "the weights are here already"
    assert store.resolve(reference) == newer.digest


async def test_a_manifest_that_is_not_what_was_pinned_is_refused(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.artifacts["a/model", artifact.digest] = artifact.manifest + b" "
        with pytest.raises(DigestMismatch):
            await pull(store, reference.with_digest(artifact.digest), registries=QUICK)


async def test_a_pin_that_the_tag_does_not_lead_to_is_told_with_what_it_leads_to(
    store: Store, artifact: MadeArtifact
) -> None:
    gone = digest_of(b"another manifest")
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        with pytest.raises(DigestMismatch, match=rf"is {artifact.digest}, .*{gone}.*pin the digest that is there"):
            await pull(store, reference.with_digest(gone), registries=QUICK)
        without_tag = Reference.parse(f"{registry.authority}/a/model@{gone}")
        with pytest.raises(SourceNotFound):
            await pull(store, without_tag, registries=QUICK)


async def test_a_missing_tag_says_which_and_what_to_check(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        registry.hold("a/model", artifact)
        reference = Reference.parse(f"{registry.authority}/a/model:nope")
        with pytest.raises(SourceNotFound, match=r"nope.*no such tag.*check the name and the tag") as failed:
            await pull(store, reference, registries=QUICK)
    assert failed.value.reason == "SourceNotFound"


async def test_a_registry_that_wants_a_login_says_how(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.require_token(uses=0)
        with pytest.raises(SourceUnauthorized, match=f"docker login {registry.authority}"):
            await pull(store, reference, registries=QUICK)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (b"{}", "no OCI manifest"),
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "no OCI manifest"),
        (b"{" + b" " * (4 << 20) + b"}", "larger than"),
    ],
    ids=["empty", "html", "deep", "huge"],
)
async def test_what_is_no_manifest_is_refused(store: Store, manifest: bytes, why: str) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", MadeArtifact(manifest, {}))
        with pytest.raises(NoModelInSource, match=why):
            await pull(store, reference, registries=QUICK)


async def test_a_container_image_is_refused_before_its_layers_are_fetched(store: Store) -> None:
    image = make_artifact({"x": CONTENT}, config_type="application/vnd.oci.image.config.v1+json")
    async with LyingRegistry() as registry:
        reference = registry.hold("a/image", image)
        with pytest.raises(NoModelInSource, match="container image"):
            await pull(store, reference, registries=QUICK)
        assert registry.spans() == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a\\b", "a\0b", "a/../../b"])
async def test_a_hostile_file_name_is_refused_before_anything_is_fetched(store: Store, name: str) -> None:
    artifact = make_artifact({name: CONTENT})
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        with pytest.raises(NoModelInSource, match="refused"):
            await pull(store, reference, registries=QUICK)
        assert registry.spans() == []


async def test_names_on_localhost_are_never_asked_of_a_registry(store: Store) -> None:
    with pytest.raises(SourceNotFound, match="berth package"):
        await pull(store, Reference.parse("localhost/mine"), registries=QUICK)


async def test_the_digest_of_an_empty_file_is_a_blob_too(store: Store) -> None:
    artifact = make_artifact({"model.gguf": CONTENT, "empty.txt": b""})
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK)
    assert (store.view(artifact.digest) / "empty.txt").read_bytes() == b""


async def test_a_damaged_blob_is_repaired_by_pulling_again(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK)
        manifest = store.blob_path(artifact.digest)
        manifest.chmod(0o644)
        manifest.write_bytes(artifact.manifest.replace(b"gguf", b"gguk"))
        store.blob_path(digest_of(CONTENT)).unlink()
        await pull(store, reference, registries=QUICK)
    assert_whole(store, reference, artifact)


async def test_the_one_model_of_an_index_is_pulled(store: Store, artifact: MadeArtifact) -> None:
    entry = {"mediaType": mediatypes.OCI_MANIFEST, "digest": artifact.digest, "size": len(artifact.manifest)}
    index = json.dumps({"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": [entry]}).encode()
    async with LyingRegistry() as registry:
        registry.hold("a/model", artifact)
        reference = registry.hold("a/model", MadeArtifact(index, {}), tag="multi")
        assert await pull(store, reference, registries=QUICK) == artifact.digest
    assert_whole(store, reference, artifact)
