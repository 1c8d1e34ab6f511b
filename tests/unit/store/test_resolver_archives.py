"""What lies in archives is known without fetching them, or with as little of them as can be."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import lies
import pytest
import tar_builders as t
from folder_builders import as_bytes, sentence_files
from gguf_builders import LLAMA_TENSORS, Tensor, gguf, llama_gguf, llama_metadata
from lying_registry import LyingRegistry
from oci_artifacts import Layer, MadeArtifact, make_layers, random_bytes
from onnx_builders import encoder_onnx
from pulls import QUICK

from berth_api.artifact import Format, Task
from berth_api.errors import UnsupportedModel
from berth_store import mediatypes
from berth_store.errors import NoModelInSource, SourceUnreachable
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.resolver import archives
from berth_store.resolver.resolve import Resolution, resolve

pytestmark = pytest.mark.timeout(60)
MIB = 1024 * 1024
WEIGHT = "application/vnd.cncf.model.weight.v1.tar"
IMAGE = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LARGE = bytes(gguf(llama_metadata(), [*LLAMA_TENSORS, Tensor("output.weight", (1024, 3 * 1024))]).content)
CODECS = {"": bytes, "+gzip": t.gzipped, "+zstd": t.zstandard_of}
SENTENCE = as_bytes(sentence_files())


@pytest.fixture
async def registry() -> AsyncIterator[LyingRegistry]:
    async with LyingRegistry() as running:
        yield running


def modelpack(*contents: bytes, suffix: str = "") -> MadeArtifact:
    layers = [Layer(content, f"{WEIGHT}{suffix}") for content in contents]
    return make_layers(layers, artifact_type=mediatypes.MODELPACK_MANIFEST)


def image(*contents: bytes, suffix: str = "") -> MadeArtifact:
    return make_layers([Layer(content, f"{LAYER}{suffix}") for content in contents], config_type=IMAGE)


async def resolved(registry: LyingRegistry, artifact: MadeArtifact, scratch: Path) -> Resolution:
    scratch.mkdir()
    return await resolve(registry.hold("team/model", artifact), registries=QUICK, scratch=scratch)


@pytest.mark.parametrize("suffix", CODECS)
async def test_the_answer_is_that_of_the_unpacked_model(registry: LyingRegistry, tmp_path: Path, suffix: str) -> None:
    files = {**SENTENCE, "model.onnx": encoder_onnx()}
    archive = CODECS[suffix](t.tar_of(files))
    found = await resolved(registry, modelpack(archive, suffix=suffix), tmp_path / "scratch")
    assert (found.artifact.format, found.artifact.task, found.weights) == (Format.ONNX, Task.EMBEDDING, "model.onnx")
    packed_bytes = len(archive) + 2
    assert found.artifact.size_bytes == packed_bytes + sum(map(len, files.values()))


async def test_a_large_model_in_a_plain_tar_is_known_by_ranges(registry: LyingRegistry, tmp_path: Path) -> None:
    archive = t.tar_of({"config.json": b"{}", "model.gguf": LARGE, "zz/notes.txt": b"the last of all"})
    found = await resolved(registry, modelpack(archive), tmp_path / "scratch")
    assert (found.artifact.task, found.weights) == (Task.CHAT, "model.gguf")
    asked = sum(span.length for span in registry.spans() if span)
    assert None not in registry.spans(), "no request was for the whole archive"
    assert asked < MIB < len(archive)


@pytest.mark.parametrize("suffix", CODECS)
async def test_an_image_is_known_by_the_folder_with_its_model(
    registry: LyingRegistry, tmp_path: Path, suffix: str
) -> None:
    pack = CODECS[suffix]
    system = pack(t.tar(t.entry("bin/sh", kind=t.SYMLINK, target="x"), t.entry("models/old.gguf", b"old")))
    model = pack(t.tar(t.entry("models/.wh.old.gguf"), t.entry("models/m.gguf", llama_gguf())))
    found = await resolved(registry, image(system, model, suffix=suffix), tmp_path / "scratch")
    assert (found.artifact.task, found.weights) == (Task.CHAT, "m.gguf")
    at_the_root = image(pack(t.tar_of({"m.gguf": llama_gguf()})), suffix=suffix)
    assert (await resolved(registry, at_the_root, tmp_path / "other")).weights == "m.gguf"


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (t.entry("../x", b"x"), "part"),
        (t.entry("m.gguf", kind=t.SYMLINK, target="/etc/passwd"), "symbolic link"),
        (t.entry("m.gguf", size=1 << 34), "no model shrinks"),
        (t.entry("a/.wh.b"), "takes away"),
    ],
)
async def test_resolver_and_pull_refuse_an_archive_in_the_same_words(
    registry: LyingRegistry, tmp_path: Path, suffix: str, entry: bytes, why: str
) -> None:
    artifact = modelpack(CODECS[suffix](t.tar(entry)), suffix=suffix)
    with pytest.raises(NoModelInSource, match=why) as by_resolver:
        await resolved(registry, artifact, tmp_path / "scratch")
    with pytest.raises(NoModelInSource) as by_pull:
        await pull(Store(tmp_path / "store"), registry.hold("team/model", artifact), registries=QUICK)
    assert str(by_resolver.value) == str(by_pull.value)


async def test_what_lies_beyond_what_is_kept_is_asked_of_the_user(
    registry: LyingRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "KEPT_BYTES", 1000)
    artifact = modelpack(t.gzipped(t.tar_of({"m.gguf": llama_gguf()})), suffix="+gzip")
    with pytest.raises(UnsupportedModel, match=r"m\.gguf: .* more than its first 1,000 bytes .*`spec\.artifact`"):
        await resolved(registry, artifact, tmp_path / "scratch")


async def test_archives_that_are_too_large_to_stream_are_asked_of_the_user_before_a_byte(
    registry: LyingRegistry, tmp_path: Path
) -> None:
    artifact = make_layers([Layer(b"x", f"{WEIGHT}+zstd", size=3 << 30)], artifact_type=mediatypes.MODELPACK_MANIFEST)
    with pytest.raises(UnsupportedModel, match=r"3,221,225,472 bytes are compressed archives.*`spec\.artifact`"):
        await resolved(registry, artifact, tmp_path / "scratch")
    assert registry.spans() == []


@pytest.mark.parametrize("suffix", CODECS)
async def test_trouble_that_passes_is_tried_again(registry: LyingRegistry, tmp_path: Path, suffix: str) -> None:
    pack: Callable[[bytes], bytes] = CODECS[suffix]
    content = pack(t.tar_of({"m.gguf": llama_gguf(), "noise.txt": random_bytes(300_000)}))
    registry.lie(lies.reset_midway, times=2)
    assert (await resolved(registry, modelpack(content, suffix=suffix), tmp_path / "scratch")).weights == "m.gguf"
    registry.lie(lies.compressed, times=1)
    assert (await resolved(registry, modelpack(content, suffix=suffix), tmp_path / "again")).weights == "m.gguf"


async def test_trouble_that_stays_is_the_registrys(registry: LyingRegistry, tmp_path: Path) -> None:
    registry.always(lies.reset_midway)
    artifact = modelpack(t.gzipped(t.tar_of({"m.gguf": llama_gguf()})), suffix="+gzip")
    with pytest.raises(SourceUnreachable):
        await resolved(registry, artifact, tmp_path / "scratch")
