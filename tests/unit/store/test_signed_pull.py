"""A signature is demanded: nothing becomes visible before it was judged, and what is here is judged again."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_builders import llama_gguf
from lying_bucket import FakeBucket
from lying_hub import FakeHub
from lying_registry import LyingRegistry
from lying_web import FakeWeb
from oci_artifacts import Layer, MadeArtifact, make_artifact, make_layers, random_bytes
from pulls import CONTENT, QUICK
from signatures import MEDIA_TYPE, a_key, attach, by_key, fingerprint, sign_files
from tar_builders import tar_of

from berth_store.digest import digest_of
from berth_store.errors import SignatureInvalid, SignatureMissing, SourceUnreachable
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.resolver.resolve import resolve
from berth_store.signing.demand import Demand
from berth_store.signing.judge import Judge
from berth_store.sources.access import SourceAccess
from berth_store.sources.address import Address, Name, parse_name
from berth_store.sweep import sweep

KEY = a_key()
DEMAND = by_key(KEY)
FILES = {"model.gguf": CONTENT, "LICENSE": b"Apache-2.0"}
REPOSITORY = "a/model"


@pytest.fixture
async def registry() -> AsyncIterator[LyingRegistry]:
    async with LyingRegistry() as running:
        yield running


async def demanded(store: Store, name: Name, demand: Demand = DEMAND, config: RegistryConfig = QUICK) -> str:
    """Pull with a demand; who has signed."""
    digest = await pull(store, name, registries=config, demand=demand)
    return Judge(demand).signer_of(store, name, digest)


def shows_nothing(store: Store) -> bool:
    return not store.list() and not [*store.views.glob("*"), *store.signatures.glob("*")]


@pytest.mark.parametrize("by_tag", [True, False], ids=["tag", "api"])
async def test_a_signature_that_is_attached_is_found(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact, by_tag: bool
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, sign_files(FILES, a_key(2)), sign_files(FILES, KEY), by_tag=by_tag)
    assert await demanded(store, reference) == f"the key sha256:{fingerprint(KEY)}"


async def test_a_signature_among_the_files_is_found(store: Store, registry: LyingRegistry) -> None:
    reference = registry.hold(REPOSITORY, make_artifact({**FILES, "model.sig": sign_files(FILES, KEY)}))
    assert await demanded(store, reference)


async def test_a_signature_in_an_archive_is_found(store: Store, registry: LyingRegistry) -> None:
    inside = tar_of({"model.gguf": llama_gguf(), "model.sig": sign_files({"model.gguf": llama_gguf()}, KEY)})
    artifact = make_layers([Layer(inside, "application/vnd.cncf.model.weight.v1.tar")])
    assert await demanded(store, registry.hold(REPOSITORY, artifact))


async def test_files_in_an_archive_are_held_to_an_attached_signature(store: Store, registry: LyingRegistry) -> None:
    artifact = make_layers([Layer(tar_of({"model.gguf": b"other"}), "application/vnd.cncf.model.weight.v1.tar")])
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, sign_files({"model.gguf": CONTENT}, KEY))
    with pytest.raises(SignatureInvalid, match=r"'model.gguf' is not what was signed"):
        await demanded(store, reference)
    assert shows_nothing(store)


async def test_without_a_signature_no_weights_are_fetched(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    with pytest.raises(SignatureMissing):
        await demanded(store, reference)
    assert registry.spans() == []
    assert shows_nothing(store)


async def test_a_layer_that_was_exchanged_is_refused_before_it_is_fetched(
    store: Store, registry: LyingRegistry
) -> None:
    exchanged = make_artifact(FILES | {"model.gguf": b"evil"})
    reference = registry.hold(REPOSITORY, exchanged)
    attach(registry, REPOSITORY, exchanged, sign_files(FILES, KEY))
    with pytest.raises(SignatureInvalid, match=r"'model.gguf' is not what was signed"):
        await demanded(store, reference)
    assert not store.blob_path(digest_of(b"evil")).exists()
    assert shows_nothing(store)


async def test_a_tag_that_moves_to_something_unsigned_leaves_what_was_there(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, sign_files(FILES, KEY))
    await demanded(store, reference)
    registry.hold(REPOSITORY, make_artifact(FILES | {"LICENSE": b"none"}))
    with pytest.raises(SignatureMissing):
        await demanded(store, reference)
    assert store.resolve(reference) == artifact.digest


async def test_what_is_here_is_judged_again_without_asking_anybody(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, sign_files(FILES, KEY), sign_files(FILES, a_key(2)))
    await demanded(store, reference)
    registry.seen.clear()
    pinned = reference.with_digest(artifact.digest)
    assert await demanded(store, pinned)
    assert await demanded(store, pinned, by_key(a_key(2))), "the other signature is kept too"
    assert registry.seen == []
    with pytest.raises(SignatureInvalid, match=fingerprint(KEY)):
        await demanded(store, pinned, by_key(a_key(3)))
    assert registry.seen != [], "somebody might have signed since"


async def test_what_came_without_a_demand_is_judged_when_one_is_made(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact).with_digest(artifact.digest)
    await pull(store, reference, registries=QUICK)
    with pytest.raises(SignatureMissing):
        await demanded(store, reference)
    attach(registry, REPOSITORY, artifact, sign_files(FILES, KEY))
    registry.seen.clear()
    assert await demanded(store, reference)
    assert [seen.path for seen in registry.seen if str(digest_of(CONTENT)) in seen.path] == []


async def test_a_signature_that_was_damaged_here_is_asked_for_again(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact).with_digest(artifact.digest)
    attach(registry, REPOSITORY, artifact, sign_files(FILES, KEY))
    await demanded(store, reference)
    (kept,) = next(store.signatures.iterdir()).iterdir()
    kept.unlink()
    kept.write_bytes(b"junk")
    assert await demanded(store, reference)


async def test_signatures_go_with_the_artifact(store: Store, registry: LyingRegistry, artifact: MadeArtifact) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, sign_files(FILES, KEY))
    await demanded(store, reference)
    sweep(store)
    assert len(list(store.signatures.iterdir())) == 1
    store.remove(reference)
    assert list(store.signatures.iterdir()) == []


async def test_an_artifact_of_this_store_alone_is_judged_by_what_is_here(store: Store, artifact: MadeArtifact) -> None:
    reference = Reference.parse("localhost/mine:1")
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(reference, artifact.digest)
    with pytest.raises(SignatureMissing):
        await demanded(store, reference)
    chosen = Address(reference, ("*.gguf",))
    with pytest.raises(SignatureMissing):
        await demanded(store, chosen)
    signatures = store.signatures / artifact.digest.removeprefix("sha256:")
    signatures.mkdir()
    (signatures / "a").write_bytes(sign_files(FILES, KEY))
    assert await demanded(store, reference)
    assert await demanded(store, chosen)


async def test_some_files_of_an_artifact_are_held_to_its_signature(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    chosen = Address(reference, ("*.gguf",), artifact.digest)
    attach(registry, REPOSITORY, artifact, sign_files(FILES, KEY))
    assert await demanded(store, chosen)
    registry.seen.clear()
    assert await demanded(store, chosen)
    assert registry.seen == []


async def test_a_list_of_signatures_that_is_none_is_an_error_and_no_missing_signature(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    registry.artifacts[REPOSITORY, artifact.digest.replace(":", "-")] = b"[]"
    with pytest.raises(SourceUnreachable, match="gives no list of its signatures"):
        await demanded(store, reference)


async def test_of_endless_signatures_few_are_fetched(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, *(b"%d" % number for number in range(500)))
    with pytest.raises(SignatureInvalid):
        await demanded(store, reference)
    assert len(registry.spans()) == 16


async def test_a_signature_that_claims_to_be_huge_is_not_fetched(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, b" " * (5 << 20))
    with pytest.raises(SignatureMissing):
        await demanded(store, reference)
    assert registry.spans() == []


async def test_what_refers_to_the_artifact_and_is_no_signature_is_passed_over(
    store: Store, registry: LyingRegistry, artifact: MadeArtifact
) -> None:
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, sign_files(FILES, KEY))
    tag = artifact.digest.replace(":", "-")
    index = json.loads(registry.artifacts[REPOSITORY, tag])
    sbom = index["manifests"][0] | {"artifactType": "application/spdx+json", "digest": digest_of(b"sbom")}
    provenance = index["manifests"][0] | {
        "digest": digest_of(b"slsa"),
        "annotations": {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"},
    }
    gone = index["manifests"][0] | {"digest": digest_of(b"gone")}
    index["manifests"] = [sbom, provenance, gone, *index["manifests"]]
    registry.artifacts[REPOSITORY, tag] = json.dumps(index).encode()
    assert MEDIA_TYPE in {entry["artifactType"] for entry in index["manifests"]}
    assert await demanded(store, reference)


# Other sources

HUB_FILES = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": random_bytes(1000, seed=6),
    "model.safetensors": random_bytes(200_000, seed=5),
    "README.md": b"# Model",
}


def hub_config(hub: FakeHub) -> RegistryConfig:
    return replace(QUICK, access=SourceAccess.from_environment({"HF_ENDPOINT": hub.address}))


async def test_a_repository_of_hugging_face_is_held_to_the_signature_in_it(store: Store) -> None:
    name = parse_name("hf://org/model")
    async with FakeHub() as hub:
        hub.hold("org/model", HUB_FILES)
        with pytest.raises(SignatureMissing):
            await demanded(store, name, config=hub_config(hub))
        hub.hold("org/model", {**HUB_FILES, "model.sig": sign_files(HUB_FILES, KEY), ".gitattributes": b"x"})
        assert await demanded(store, name, config=hub_config(hub))
        digest = store.resolve(name)
        assert digest is not None
        shown = {path.name for path in store.view(digest).iterdir()}
        assert shown == {"config.json", "tokenizer.json", "model.safetensors"}, "the signature is none of its files"
        hub.hold("org/model", {**HUB_FILES, "model.sig": sign_files(HUB_FILES, KEY), "config.json": b"{}"})
        with pytest.raises(SignatureInvalid, match=r"'config.json' is not what was signed"):
            await demanded(store, name, config=hub_config(hub))
        assert store.resolve(name) == digest
        without = {path: content for path, content in HUB_FILES.items() if path != "README.md"}
        hub.hold("org/model", {**without, "model.sig": sign_files(HUB_FILES, KEY)})
        with pytest.raises(SignatureInvalid, match=r"'README.md' was signed and is not there"):
            await demanded(store, name, config=hub_config(hub))


async def test_objects_of_a_bucket_are_held_to_the_signature_among_them(store: Store) -> None:
    name = parse_name("s3://models/m")
    signed = {"config.json": b"{}", "model.safetensors": random_bytes(1000, seed=7)}
    objects = {f"m/{path}": content for path, content in signed.items()}
    async with FakeBucket() as bucket:
        config = replace(QUICK, access=SourceAccess.from_environment(bucket.environment))
        bucket.hold("models", {**objects, "m/model.sig": sign_files(signed, KEY)})
        assert await demanded(store, name, config=config)
        bucket.hold("models", {**objects, "m/model.sig": sign_files(signed, KEY), "m/tokenizer.json": b"[]"})
        with pytest.raises(SignatureInvalid, match=r"'tokenizer.json' is not among the files"):
            await demanded(store, name, config=config)


@pytest.mark.parametrize("beside", ["model.sig", "model.gguf.sig"])
async def test_a_file_of_a_web_server_is_held_to_the_signature_beside_it(store: Store, beside: str) -> None:
    signature = sign_files({"model.gguf": CONTENT}, KEY)
    async with FakeWeb({"/m/model.gguf": CONTENT, f"/m/{beside}": signature, "/other/model.gguf": b"GGUF"}) as site:
        assert await demanded(store, parse_name(site.uri("/m/model.gguf")))
        with pytest.raises(SignatureMissing):
            await demanded(store, parse_name(site.uri("/other/model.gguf")))


async def test_what_was_gathered_is_judged_again_without_asking_anybody(store: Store) -> None:
    signature = sign_files({"model.gguf": CONTENT}, KEY)
    async with FakeWeb({"/m/model.gguf": CONTENT, "/m/model.sig": signature}) as site:
        name = parse_name(f"{site.uri('/m/model.gguf')}@{digest_of(CONTENT)}")
        await demanded(store, name)
    assert await demanded(store, name)


# The resolver


async def resolved_signer(name: Name, scratch: Path, config: RegistryConfig = QUICK) -> str | None:
    scratch.mkdir()
    return (await resolve(name, registries=config, scratch=scratch, demand=DEMAND)).artifact.signer


async def test_the_resolver_says_who_has_signed(tmp_path: Path, registry: LyingRegistry) -> None:
    files = {"model.gguf": llama_gguf(), "LICENSE": b"MIT"}
    artifact = make_artifact(files)
    reference = registry.hold(REPOSITORY, artifact)
    with pytest.raises(SignatureMissing):
        await resolved_signer(reference, tmp_path / "1")
    attach(registry, REPOSITORY, artifact, sign_files(files, KEY))
    assert await resolved_signer(reference, tmp_path / "2") == f"the key sha256:{fingerprint(KEY)}"


async def test_the_resolver_tells_what_nobody_signed_before_its_digest_is_known(tmp_path: Path) -> None:
    signature = sign_files({"other.gguf": llama_gguf()}, KEY)
    async with FakeWeb({"/m/model.gguf": llama_gguf(), "/m/model.sig": signature}) as site:
        with pytest.raises(SignatureInvalid, match=r"'model.gguf' is not among the files"):
            await resolved_signer(parse_name(site.uri("/m/model.gguf")), tmp_path / "1")


async def test_the_resolver_leaves_a_signature_in_an_archive_to_the_loader(
    tmp_path: Path, registry: LyingRegistry
) -> None:
    inside = tar_of({"model.gguf": llama_gguf(), "model.sig": sign_files({"model.gguf": b"other"}, KEY)})
    artifact = make_layers([Layer(inside, "application/vnd.cncf.model.weight.v1.tar")])
    reference = registry.hold(REPOSITORY, artifact)
    assert await resolved_signer(reference, tmp_path / "1") is None
    with pytest.raises(SignatureInvalid, match=r"'model.gguf' is not what was signed"):
        await demanded(Store(tmp_path / "store"), reference)


async def test_an_attached_signature_of_somebody_else_does_not_hide_one_in_an_archive(
    tmp_path: Path, registry: LyingRegistry
) -> None:
    files = {"model.gguf": llama_gguf()}
    inside = tar_of({**files, "model.sig": sign_files(files, KEY)})
    artifact = make_layers([Layer(inside, "application/vnd.cncf.model.weight.v1.tar")])
    reference = registry.hold(REPOSITORY, artifact)
    attach(registry, REPOSITORY, artifact, sign_files(files, a_key(2)))
    assert await resolved_signer(reference, tmp_path / "1") is None
    assert await demanded(Store(tmp_path / "store"), reference) == f"the key sha256:{fingerprint(KEY)}"
