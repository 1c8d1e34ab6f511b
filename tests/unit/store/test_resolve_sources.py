"""What a source beside registries holds is known by reading little of it, and what was found is what is fetched."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import lies
import pytest
from folder_builders import as_bytes, sentence_files
from gguf_builders import LLAMA_TENSORS, Tensor, gguf, llama_metadata
from lying_bucket import FakeBucket
from lying_hub import FakeHub
from lying_registry import LyingRegistry
from lying_site import sha256
from lying_web import FakeWeb
from oci_artifacts import make_artifact
from pulls import QUICK
from safetensors_builders import safetensors

from berth_api.artifact import Format, Task
from berth_store import mediatypes
from berth_store.errors import DigestMismatch, LicenseGated, NoModelInSource, SourceNotFound
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.resolver.resolve import Resolution, resolve
from berth_store.sources.access import SourceAccess
from berth_store.sources.address import Name, source_name
from berth_store.sources.identity import content_digest, stored_digest

MIB = 1024 * 1024
LARGE = bytes(gguf(llama_metadata(), [*LLAMA_TENSORS, Tensor("output.weight", (1024, 3072))]).content)
ENCODER = {
    **as_bytes(sentence_files()),
    "model.safetensors": safetensors({"embeddings.weight": ("F32", (1024, 3072))}),
    "README.md": b"# Model",
}


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as server:
        yield server


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., object]:
    """Resolves with scratch space of its own each time."""
    count = iter(range(100))

    async def looking(name: Name, registries: RegistryConfig) -> Resolution:
        scratch = tmp_path / f"scratch-{next(count)}"
        scratch.mkdir()
        return await resolve(name, registries=registries, scratch=scratch)

    return looking


def config(**variables: str) -> RegistryConfig:
    return replace(QUICK, access=SourceAccess.from_environment(variables))


async def test_a_hubs_model_is_known_by_its_headers_with_commit_and_digest(
    hub: FakeHub, look: Callable, store: Store
) -> None:
    commit = hub.hold("org/encoder", ENCODER).commit
    registries = config(HF_ENDPOINT=hub.address)
    found = await look(source_name("hf://org/encoder", None), registries)
    assert found.artifact.format == Format.SAFETENSORS
    assert found.artifact.task == Task.EMBEDDING
    assert found.revision == commit
    assert found.weights == "model.safetensors"
    assert found.artifact.size_bytes == sum(len(ENCODER[path]) for path in ENCODER if path != "README.md")
    fetched = sum(seen.span.length for seen in hub.cdn.seen if seen.span)
    assert fetched < MIB, "twelve MiB of weights are there, and their header is small"
    files = [(path, len(body), f"sha256:{sha256(body)}") for path, body in ENCODER.items() if path != "README.md"]
    assert found.artifact.digest == content_digest(files)
    # The branch moves on, and pods still fetch what was resolved.
    hub.hold("org/encoder", {**ENCODER, "config.json": b"{}"})
    pinned = source_name("hf://org/encoder", found.artifact.digest, (), found.revision)
    digest = await pull(store, pinned, registries=registries)
    assert stored_digest(store.manifest(digest)) == found.artifact.digest


async def test_a_gguf_behind_https_is_known_by_kilobytes_and_held_to_its_version(look: Callable, store: Store) -> None:
    async with FakeWeb(files={"/m-Q4_K_M.gguf": LARGE}) as site:
        uri = site.uri("/m-Q4_K_M.gguf")
        found = await look(source_name(uri, None), config())
        assert found.artifact.format == Format.GGUF
        assert sum(seen.span.length for seen in site.seen if seen.span) < MIB
        held = source_name(uri, found.artifact.digest)
        await pull(store, held, registries=config())
        site.files["/m-Q4_K_M.gguf"] = LARGE[:-1] + b"x"
        fresh = Store(store.root.with_name("fresh"))
        with pytest.raises(DigestMismatch, match="pin the digest that is there"):
            await pull(fresh, held, registries=config())
        site.seen.clear()
        await pull(store, held, registries=config())
        assert site.seen == [], "a pod that has it starts without the server"


async def test_a_pin_by_content_is_what_a_resolver_answers_where_it_can_not_know_it(look: Callable) -> None:
    async with FakeWeb(files={"/m.gguf": LARGE}) as site:
        pin = f"sha256:{sha256(LARGE)}"
        found = await look(source_name(site.uri("/m.gguf"), pin), config())
        assert found.artifact.digest == pin


async def test_a_folder_in_a_bucket_is_known_by_kilobytes(look: Callable, store: Store) -> None:
    async with FakeBucket() as bucket:
        bucket.hold("models", {f"e/{path}": content for path, content in ENCODER.items()})
        registries = config(**bucket.environment)
        found = await look(source_name("s3://models/e", None), registries)
        assert (found.artifact.format, found.artifact.task) == (Format.SAFETENSORS, Task.EMBEDDING)
        assert sum(seen.span.length for seen in bucket.seen if seen.span) < 2 * MIB
        await pull(store, source_name("s3://models/e", found.artifact.digest), registries=registries)
        bucket.hold("models", {"e/config.json": b"{}"})
        fresh = Store(store.root.with_name("fresh"))
        with pytest.raises(DigestMismatch):
            await pull(fresh, source_name("s3://models/e", found.artifact.digest), registries=registries)


async def test_a_wrong_pin_is_told_before_anything_is_fetched(hub: FakeHub, look: Callable) -> None:
    hub.hold("org/encoder", ENCODER)
    with pytest.raises(DigestMismatch, match="the files there have the digest sha256:"):
        await look(source_name("hf://org/encoder", "sha256:" + "0" * 64), config(HF_ENDPOINT=hub.address))


async def test_small_files_of_the_hub_that_are_damaged_are_refused(hub: FakeHub, look: Callable) -> None:
    hub.hold("org/encoder", ENCODER)
    hub.always(lies.wrong_bytes)
    with pytest.raises(DigestMismatch, match="another digest than the git digest"):
        await look(source_name("hf://org/encoder", None), config(HF_ENDPOINT=hub.address))


async def test_a_gated_model_is_told_by_the_resolver(hub: FakeHub, look: Callable) -> None:
    hub.hold("org/encoder", ENCODER, gated=True)
    with pytest.raises(LicenseGated):
        await look(source_name("hf://org/encoder", None), config(HF_ENDPOINT=hub.address))


async def test_files_choose_layers_of_a_registrys_artifact(look: Callable, store: Store) -> None:
    artifact = make_artifact(
        {"model.gguf": LARGE, "other.gguf": LARGE + b"x", "LICENSE": b"free"}, layer_type=mediatypes.GGUF
    )
    async with LyingRegistry() as registry:
        reference = registry.hold("team/model", artifact)
        name = source_name(f"oci://{reference}", None, ["model.*", "LICENSE"])
        found = await look(name, QUICK)
        assert found.weights == "model.gguf"
        assert found.artifact.digest == artifact.digest
        assert found.artifact.size_bytes == len(LARGE) + 4
        held = source_name(f"oci://{reference}", found.artifact.digest, ["model.*", "LICENSE"])
        digest = await pull(store, held, registries=QUICK)
        assert sorted(path.name for path in store.view(digest).iterdir()) == ["LICENSE", "model.gguf"]
        other = [seen for seen in registry.seen if seen.path.endswith(f"sha256:{sha256(LARGE + b'x')}")]
        assert other == [], "what is not wanted is not fetched"
        registry.seen.clear()
        assert await pull(store, held, registries=QUICK) == digest
        assert registry.seen == []


async def test_notes_tell_what_was_passed_over(hub: FakeHub, look: Callable) -> None:
    hub.hold("org/encoder", {**ENCODER, "onnx/model.onnx": b"x" * 100})
    found = await look(source_name("hf://org/encoder", None), config(HF_ENDPOINT=hub.address))
    assert any("onnx/model.onnx" in note for note in found.notes)


async def test_files_choose_layers_of_an_artifact_that_is_here_only(store: Store) -> None:
    artifact = make_artifact({"model.gguf": LARGE, "LICENSE": b"free"}, layer_type=mediatypes.GGUF)
    name = source_name("oci://localhost/mine:1", None, ["*.gguf"])
    with pytest.raises(SourceNotFound, match="names on localhost are in this machine's store only"):
        await pull(store, name, registries=QUICK)
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(Reference.parse("localhost/mine:1"), artifact.digest)
    digest = await pull(store, name, registries=QUICK)
    assert [path.name for path in store.view(digest).iterdir()] == ["model.gguf"]
    with pytest.raises(NoModelInSource, match=r"no file matches spec\.source\.files"):
        await pull(store, source_name("oci://localhost/mine:1", None, ["*.onnx"]), registries=QUICK)
