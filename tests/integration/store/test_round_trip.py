"""Packaged, pushed, forgotten and pulled again; and read by oras, which is nobody of ours."""

import asyncio
from pathlib import Path

import oras.client
import oras.layout
import pytest
import tools
from oci_artifacts import make_artifact, random_bytes
from registry import RunningRegistry
from wire import Wire

from berth_store import mediatypes
from berth_store.digest import digest_of
from berth_store.errors import DigestMismatch
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.package import package
from berth_store.progress import Progress, Stage
from berth_store.pull import pull
from berth_store.push import push
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy

pytestmark = pytest.mark.needs("registry")

MIB = 1024 * 1024
QUICK = RegistryConfig(chunk_bytes=MIB, retry=RetryPolicy(first_delay_seconds=0.01))


def filled(store: Store, reference: Reference, files: dict[str, bytes]) -> Store:
    artifact = make_artifact(files)
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(reference, artifact.digest)
    return store


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.needs("smollm2")
async def test_a_gguf_packaged_pushed_forgotten_and_pulled_is_the_same(
    store: Store, real_registry: RunningRegistry
) -> None:
    weights = tools.find("smollm2")
    assert weights is not None
    reference = real_registry.reference("team/smollm2:135m")
    digest = await asyncio.to_thread(package, store, weights, reference)
    moments: list[Progress] = []
    assert await push(store, reference, registries=QUICK, progress=moments.append) == digest
    assert moments[-1].stage is Stage.DONE
    assert moments[-1].bytes_done == moments[-1].bytes_total > weights.stat().st_size
    removed = store.remove(reference)
    assert removed.freed_bytes > weights.stat().st_size
    assert store.list() == ()
    assert await pull(store, reference, registries=QUICK) == digest
    assert files_in(store.view(digest)) == {weights.name: weights.read_bytes()}
    assert find_damage(store) == ()
    (model,) = store.list()
    assert model.artifact is not None
    assert (model.artifact.architecture, model.artifact.quantization) == ("llama", "Q4_1")


async def test_what_the_registry_has_is_not_sent_again(store: Store, real_registry: RunningRegistry) -> None:
    async with Wire(real_registry.port) as wire:
        first = Reference.parse(f"{wire.address}/team/model:1")
        second = Reference.parse(f"{wire.address}/team/model:2")
        files = {"model.gguf": random_bytes(3 * MIB, seed=1)}
        await push(filled(store, first, files), first, registries=QUICK)
        sent = wire.uploaded_bytes
        store.tag(second, store.resolve(first) or digest_of(b""))
        await push(store, second, registries=QUICK)
        assert wire.uploaded_bytes - sent < 20_000


async def test_what_another_repository_has_is_mounted(store: Store, real_registry: RunningRegistry) -> None:
    async with Wire(real_registry.port) as wire:
        first = Reference.parse(f"{wire.address}/team/model:1")
        second = Reference.parse(f"{wire.address}/others/model:1")
        files = {"model.gguf": random_bytes(3 * MIB, seed=2)}
        await push(filled(store, first, files), first, registries=QUICK)
        sent = wire.uploaded_bytes
        store.tag(second, store.resolve(first) or digest_of(b""))
        await push(store, second, registries=QUICK)
        assert wire.uploaded_bytes - sent < 20_000
        assert await pull(Store(store.root / "other"), second, registries=QUICK) == store.resolve(second)


@pytest.mark.parametrize("times", [1, 3])
async def test_an_upload_that_breaks_goes_on_from_the_byte_that_arrived(
    store: Store, real_registry: RunningRegistry, times: int
) -> None:
    content = random_bytes(50 * MIB, seed=3)
    async with Wire(real_registry.port) as wire:
        reference = Reference.parse(f"{wire.address}/team/model:1")
        filled(store, reference, {"model.gguf": content})
        wire.cut_uploads(after_bytes=12 * MIB, times=times)
        await push(store, reference, registries=QUICK)
        assert any(asked.method == "PATCH" for asked in wire.asked)
        # What was on the wire when it broke may be sent again, what had arrived may not.
        assert wire.uploaded_bytes < len(content) + times * 20 * MIB
    other = Store(store.root / "other")
    await pull(other, reference_at(reference, real_registry), registries=QUICK)
    assert other.blob_path(digest_of(content)).read_bytes() == content


async def test_a_blob_whose_answer_was_lost_is_not_sent_again(store: Store, real_registry: RunningRegistry) -> None:
    content = random_bytes(20 * MIB, seed=8)
    async with Wire(real_registry.port) as wire:
        reference = Reference.parse(f"{wire.address}/team/model:1")
        filled(store, reference, {"model.gguf": content})
        wire.lose_answers(201)
        await push(store, reference, registries=QUICK)
        assert wire.uploaded_bytes < len(content) + MIB
    await pull(Store(store.root / "other"), reference_at(reference, real_registry), registries=QUICK)


async def test_a_body_that_is_too_large_for_a_proxy_goes_in_chunks(
    store: Store, real_registry: RunningRegistry
) -> None:
    content = random_bytes(40 * MIB, seed=4)
    async with Wire(real_registry.port) as wire:
        reference = Reference.parse(f"{wire.address}/team/model:1")
        filled(store, reference, {"model.gguf": content})
        wire.refuse_bodies_over(20 * MIB)
        await push(store, reference, registries=QUICK)
        patches = [asked.length for asked in wire.asked if asked.method == "PATCH"]
    assert patches == [16 * MIB, 16 * MIB, 8 * MIB]
    await pull(Store(store.root / "other"), reference_at(reference, real_registry), registries=QUICK)


async def test_a_damaged_blob_is_not_pushed(store: Store, real_registry: RunningRegistry) -> None:
    content = random_bytes(MIB, seed=5)
    reference = real_registry.reference("team/model:1")
    filled(store, reference, {"model.gguf": content})
    path = store.blob_path(digest_of(content))
    path.chmod(0o644)
    path.write_bytes(bytes(len(content)))
    with pytest.raises(DigestMismatch, match="this blob of the store is damaged"):
        await push(store, reference, registries=QUICK)


async def test_the_store_is_an_image_layout_to_others(store: Store, real_registry: RunningRegistry) -> None:
    reference = real_registry.reference("team/model:1")
    files = {"model.gguf": random_bytes(MIB, seed=6), "LICENSE": b"free"}
    filled(store, reference, files)
    layout = oras.layout.Layout(str(store.root))
    client = oras.client.OrasClient(hostname=real_registry.address, insecure=True)
    layout.push_to_registry(client, target=f"{real_registry.address}/by-oras/model:1", tag=str(reference))
    other = Store(store.root / "other")
    digest = await pull(other, real_registry.reference("by-oras/model:1"), registries=QUICK)
    assert files_in(other.view(digest)) == files


async def test_others_pull_what_was_pushed_here(store: Store, real_registry: RunningRegistry, tmp_path: Path) -> None:
    weights = tmp_path / "m.gguf"
    reference = real_registry.reference("team/model:1")
    filled(store, reference, {weights.name: random_bytes(MIB, seed=7)})
    await push(store, reference, registries=QUICK)
    target = tmp_path / "layout"
    client = oras.client.OrasClient(hostname=real_registry.address, insecure=True)
    layout = await asyncio.to_thread(
        oras.layout.NewLayoutFromRegistry, path=str(target), provider=client, target=str(reference)
    )
    assert len(layout.get_ordered_blobs()) == 3
    assert mediatypes.OCI_MANIFEST in (target / "index.json").read_text()


def reference_at(reference: Reference, running: RunningRegistry) -> Reference:
    """The same artifact, asked of the registry itself instead of through the wire."""
    return running.reference(f"{reference.repository}:{reference.tag}")
