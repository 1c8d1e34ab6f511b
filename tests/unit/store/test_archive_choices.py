"""`spec.source.files` chooses among what lies in an artifact's archives, and in these only of artifacts."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tar_builders as t
from folder_builders import as_bytes, sentence_files
from gguf_builders import llama_gguf
from lying_bucket import FakeBucket
from lying_registry import LyingRegistry
from oci_artifacts import Layer, MadeArtifact, make_layers
from onnx_builders import encoder_onnx
from pulls import QUICK

from berth_api.artifact import Format
from berth_store import mediatypes
from berth_store.digest import digest_of
from berth_store.errors import NoModelInSource
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.reference import Reference
from berth_store.resolver.resolve import resolve
from berth_store.sources.access import SourceAccess
from berth_store.sources.address import Name, source_name
from berth_store.sweep import sweep

WEIGHT = "application/vnd.cncf.model.weight.v1.tar"
SETTINGS = "application/vnd.cncf.model.weight.config.v1.raw"
IMAGE = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CODECS: dict[str, Callable[[bytes], bytes]] = {"": bytes, "+gzip": t.gzipped, "+zstd": t.zstandard_of}
ENCODER = {**as_bytes(sentence_files()), "model.onnx": encoder_onnx(), "pytorch_model.bin": b"\x80\x04."}
CHAT = llama_gguf()
WANTED = ["*.onnx", "*.json", "*.txt", "*.bin"]
CHOSEN = sorted(path for path in ENCODER if not path.endswith(".bin"))


@pytest.fixture
async def registry() -> AsyncIterator[LyingRegistry]:
    async with LyingRegistry() as running:
        yield running


def modelpack(suffix: str) -> MadeArtifact:
    archive = CODECS[suffix](t.tar_of({"chat/m.gguf": CHAT, **ENCODER}))
    beside = Layer(b"a note", SETTINGS, {mediatypes.ANNOTATION_FILEPATH: "notes/README.md"})
    return make_layers([Layer(archive, f"{WEIGHT}{suffix}"), beside], artifact_type=mediatypes.MODELPACK_MANIFEST)


def image(suffix: str) -> MadeArtifact:
    files = {f"models/{path}": content for path, content in {"chat/m.gguf": CHAT, **ENCODER}.items()}
    return make_layers([Layer(CODECS[suffix](t.tar_of(files)), f"{LAYER}{suffix}")], config_type=IMAGE)


def names_in(view: Path) -> list[str]:
    return sorted(path.relative_to(view).as_posix() for path in view.rglob("*") if path.is_file())


def choice(reference: Reference, patterns: list[str], digest: str | None = None) -> Name:
    return source_name(f"oci://{reference}", digest, patterns)


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("made", [modelpack, image])
async def test_resolver_and_pull_choose_the_same_files_of_an_archive(
    registry: LyingRegistry, store: Store, tmp_path: Path, made: Callable[[str], MadeArtifact], suffix: str
) -> None:
    artifact = made(suffix)
    reference = registry.hold("team/model", artifact)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = await resolve(choice(reference, WANTED), registries=QUICK, scratch=scratch)
    assert (found.artifact.format, found.weights) == (Format.ONNX, "model.onnx")
    assert found.artifact.digest == artifact.digest
    assert any("pytorch_model.bin" in note for note in found.notes), "pickles are passed over, whatever is asked for"
    told: list[tuple[int, int]] = []
    pinned = choice(reference, WANTED, found.artifact.digest)
    digest = await pull(
        store, pinned, registries=QUICK, progress=lambda now: told.append((now.bytes_done, now.bytes_total))
    )
    view = store.view(digest)
    assert names_in(view) == CHOSEN
    assert {path: (view / path).read_bytes() for path in CHOSEN} == {path: ENCODER[path] for path in CHOSEN}
    assert told[-1][0] == told[-1][1] > 0
    assert not any(seen.path.endswith(digest_of(b"a note")) for seen in registry.seen), "it is not wanted"
    registry.seen.clear()
    assert await pull(store, pinned, registries=QUICK) == digest
    assert registry.seen == []


async def test_the_volume_has_room_for_the_whole_archive_whatever_is_taken_of_it(
    registry: LyingRegistry, tmp_path: Path
) -> None:
    artifact = modelpack("+zstd")
    name = choice(registry.hold("team/model", artifact), WANTED)
    found = await resolve(name, registries=QUICK, scratch=tmp_path)
    archive = next(len(blob) for blob in artifact.blobs.values() if blob[:4] == b"\x28\xb5\x2f\xfd")
    assert found.artifact.size_bytes is not None
    assert found.artifact.size_bytes >= archive + len(CHAT) + sum(map(len, ENCODER.values()))


async def test_what_is_chosen_stays_and_the_archive_may_go(registry: LyingRegistry, store: Store) -> None:
    reference = registry.hold("team/model", modelpack("+gzip"))
    digest = await pull(store, choice(reference, ["*.gguf"]), registries=QUICK)
    assert sweep(store).digests
    assert find_damage(store) == ()
    assert list(store.unpacked.iterdir()) == []
    assert (store.view(digest) / "chat/m.gguf").read_bytes() == CHAT


async def test_a_pattern_that_matches_nothing_lists_what_the_archive_holds(
    registry: LyingRegistry, store: Store, tmp_path: Path
) -> None:
    name = choice(registry.hold("team/model", modelpack("")), ["*.safetensors"])
    with pytest.raises(NoModelInSource, match=r"no file matches spec\.source\.files.*chat/m\.gguf") as by_resolver:
        await resolve(name, registries=QUICK, scratch=tmp_path)
    with pytest.raises(NoModelInSource) as by_pull:
        await pull(store, name, registries=QUICK)
    assert str(by_resolver.value) == str(by_pull.value)
    assert store.resolve(name) is None


async def test_files_choose_among_the_archives_of_an_artifact_that_is_here_only(store: Store) -> None:
    artifact = modelpack("+gzip")
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(Reference.parse("localhost/mine:1"), artifact.digest)
    digest = await pull(store, source_name("oci://localhost/mine:1", None, ["*.gguf", "*.md"]), registries=QUICK)
    assert names_in(store.view(digest)) == ["chat/m.gguf", "notes/README.md"]


async def test_an_archive_of_another_source_is_a_file_like_any_other(store: Store) -> None:
    archive = t.tar_of({"m.gguf": CHAT})
    async with FakeBucket() as bucket:
        bucket.hold("models", {"e/m.tar": archive, "e/m.gguf": CHAT})
        registries = replace(QUICK, access=SourceAccess.from_environment(bucket.environment))
        digest = await pull(store, source_name("s3://models/e", None, ["m.*"]), registries=registries)
    assert names_in(store.view(digest)) == ["m.gguf", "m.tar"]
    assert (store.view(digest) / "m.tar").read_bytes() == archive
    assert list(store.unpacked.iterdir()) == []
