"""A load goes on over what may pass, ends with the reason of what does not, and leaves a model that can be served."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import lies
import pytest
from folder_builders import as_bytes, files_in, sentence_files, write_files
from gguf_builders import llama_gguf, write_gguf_shards
from lying_registry import LyingRegistry
from oci_artifacts import MadeArtifact, make_artifact
from onnx_builders import encoder_onnx
from pulls import CONTENT, QUICK, of_weights

from berth_api.artifact import Format, Task
from berth_api.errors import InvalidSpec, Unavailable
from berth_store import fetch as fetch_module
from berth_store.detect import detect
from berth_store.digest import Digest
from berth_store.errors import DigestMismatch, DiskFull, SourceNotFound, SourceUnreachable
from berth_store.loader.board import Board, LoadStage
from berth_store.loader.load import load
from berth_store.reference import Reference, source_reference
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy

pytestmark = pytest.mark.timeout(60)
AT_ONCE = RetryPolicy(first_delay_seconds=0.001, longest_delay_seconds=0.002)


class KeptBoard(Board):
    """A board that keeps what it showed each time it was told of trouble."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.shown: list[str] = []

    def tell_trouble(self, message: str) -> None:
        super().tell_trouble(message)
        self.shown.append(str(self.render()["message"]))


class Pod:
    """A registry, a volume, and a clock that the tests move."""

    def __init__(self, registry: LyingRegistry, volume: Path) -> None:
        self.registry = registry
        self.volume = volume
        self.now = 0.0
        self.board = KeptBoard(lambda: self.now)

    @property
    def model(self) -> Path:
        return self.volume / "model"

    async def load(
        self,
        reference: Reference,
        *,
        patience_seconds: float = 600,
        registries: RegistryConfig = QUICK,
        link: str = "model",
    ) -> Digest:
        def tick() -> float:
            self.now += 1.0
            return self.now

        return await load(
            reference,
            self.volume,
            self.board,
            registries=registries,
            patience_seconds=patience_seconds,
            clock=tick,
            back_off=AT_ONCE,
            link=link,
        )


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    async with LyingRegistry() as registry:
        volume = tmp_path / "models"
        volume.mkdir()
        yield Pod(registry, volume)


async def test_the_model_lies_under_its_own_file_names(pod: Pod, artifact: MadeArtifact) -> None:
    assert await pod.load(pod.registry.hold("a/model", artifact)) == artifact.digest
    assert (pod.model / "model.gguf").read_bytes() == CONTENT
    assert pod.board.render()["stage"] == LoadStage.DONE


async def test_an_adapter_lies_beside_the_model_under_a_name_of_its_own(pod: Pod) -> None:
    await pod.load(pod.registry.hold("a/model", make_artifact({"m.gguf": llama_gguf()})))
    await pod.load(pod.registry.hold("a/sql", make_artifact({"sql.gguf": CONTENT})), link="adapter-sql")
    assert (pod.model / "m.gguf").exists()
    assert (pod.volume / "adapter-sql" / "sql.gguf").read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["mounted", "deep/er/mounted"])
async def test_the_model_is_found_wherever_the_volume_is_mounted(pod: Pod, tmp_path: Path, place: str) -> None:
    await pod.load(pod.registry.hold("a/model", make_artifact({"m.gguf": llama_gguf()})))
    mounted = tmp_path / place
    mounted.parent.mkdir(parents=True, exist_ok=True)
    pod.volume.rename(mounted)
    assert detect(mounted / "model").task is Task.CHAT


async def test_a_split_model_is_served_from_its_folder(pod: Pod, tmp_path: Path) -> None:
    write_gguf_shards(tmp_path, "big", 3)
    shards = files_in(tmp_path, "*.gguf")
    await pod.load(pod.registry.hold("a/model", make_artifact(shards)))
    found = detect(pod.model)
    assert [path.name for path in found.weights] == sorted(shards)
    assert all(path.exists() for path in found.weights)


async def test_an_encoder_is_served_with_its_tokenizer(pod: Pod) -> None:
    files = as_bytes({**sentence_files(), "onnx/model.onnx": encoder_onnx()})
    await pod.load(pod.registry.hold("a/model", make_artifact(files)))
    found = detect(pod.model)
    assert (found.format, found.tokenizer) == (Format.ONNX, pod.model / "tokenizer.json")
    assert found.embedding is not None


async def test_a_second_load_takes_the_newer_artifact_in_one_step(pod: Pod, artifact: MadeArtifact) -> None:
    await pod.load(pod.registry.hold("a/model", artifact))
    before = os.readlink(pod.model)
    newer = make_artifact({"model.gguf": b"newer"})
    await pod.load(pod.registry.hold("a/model", newer))
    assert os.readlink(pod.model) != before
    assert (pod.model / "model.gguf").read_bytes() == b"newer"
    assert {path.name for path in pod.volume.iterdir()} == {"model", "store"}


async def test_a_pinned_artifact_that_is_there_needs_no_registry(pod: Pod, artifact: MadeArtifact) -> None:
    reference = pod.registry.hold("a/model", artifact).with_digest(artifact.digest)
    await pod.load(reference)
    pod.registry.seen.clear()
    await pod.load(reference)
    assert pod.registry.seen == []


async def test_a_folder_of_somebody_elses_is_left_alone(pod: Pod, artifact: MadeArtifact) -> None:
    write_files(pod.model, {"theirs.txt": "x"})
    with pytest.raises(Unavailable, match="is a folder of somebody else's"):
        await pod.load(pod.registry.hold("a/model", artifact))
    assert {path.name for path in pod.volume.iterdir()} == {"model", "store"}
    assert (pod.model / "theirs.txt").exists()


async def test_a_registry_that_fails_for_a_while_is_asked_until_it_answers(pod: Pod, artifact: MadeArtifact) -> None:
    reference = pod.registry.hold("a/model", artifact)
    pod.registry.lie(lies.status(503), times=40)
    assert await pod.load(reference) == artifact.digest


async def test_what_keeps_it_is_told_with_when_it_is_tried_again(pod: Pod, artifact: MadeArtifact) -> None:
    reference = pod.registry.hold("a/model", artifact)
    pod.registry.lie(lies.status(503), times=40)
    await pod.load(reference)
    assert "answered with status 503; try again later. Tried again in 0 s" in pod.board.shown[0]


async def test_patience_ends_when_no_byte_comes(pod: Pod, artifact: MadeArtifact) -> None:
    reference = pod.registry.hold("a/model", artifact)
    pod.registry.always(lies.status(503))
    with pytest.raises(SourceUnreachable, match="status 503"):
        await pod.load(reference, patience_seconds=5)


async def test_while_bytes_come_patience_does_not_end(pod: Pod, artifact: MadeArtifact) -> None:
    reference = pod.registry.hold("a/model", artifact)
    one_try = RegistryConfig(chunk_bytes=QUICK.chunk_bytes, connections=1, retry=RetryPolicy(attempts=1))
    pod.registry.lie(of_weights(lies.reset_midway), times=14)
    assert await pod.load(reference, registries=one_try, patience_seconds=4) == artifact.digest


async def test_what_came_before_the_trouble_is_not_fetched_again(pod: Pod, artifact: MadeArtifact) -> None:
    reference = pod.registry.hold("a/model", artifact)
    one_try = RegistryConfig(chunk_bytes=QUICK.chunk_bytes, connections=1, retry=RetryPolicy(attempts=1))
    pod.registry.lie(lies.honest, times=4)
    pod.registry.lie(lies.reset_at_once)
    await pod.load(reference, registries=one_try)
    asked = [span for span in pod.registry.spans() if span and span.length > 1000]
    assert len({span.start for span in asked}) == len(asked) - 1, "only the stretch that broke is asked for again"


async def test_a_longer_pause_that_the_registry_asks_for_than_there_is_patience_ends_it(
    pod: Pod, artifact: MadeArtifact
) -> None:
    reference = pod.registry.hold("a/model", artifact)
    pod.registry.always(lies.status(429, retry_after="900"))
    with pytest.raises(SourceUnreachable, match="asks for a pause"):
        await pod.load(reference)


async def test_a_missing_tag_ends_it_at_once(pod: Pod) -> None:
    with pytest.raises(SourceNotFound):
        await pod.load(Reference.parse(f"{pod.registry.authority}/a/model:none"))
    assert len(pod.registry.seen) <= 2


async def test_wrong_bytes_end_it(pod: Pod, artifact: MadeArtifact) -> None:
    reference = pod.registry.hold("a/model", artifact)
    pod.registry.always(lies.wrong_bytes)
    with pytest.raises(DigestMismatch):
        await pod.load(reference)
    assert not pod.model.exists()


async def test_a_full_disk_is_told_in_words_of_a_cluster(
    pod: Pod, artifact: MadeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "SPARE_BYTES", 1 << 60)
    with pytest.raises(DiskFull) as full:
        await pod.load(pod.registry.hold("a/model", artifact))
    assert "give the Model's volume more room" in str(full.value)
    assert "BERTH_HOME" not in str(full.value)


def test_two_pins_that_differ_are_refused() -> None:
    one, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    with pytest.raises(InvalidSpec, match="keep one of the two"):
        source_reference(f"oci://r.example/a/b@{one}", other)
    assert source_reference(f"oci://r.example/a/b@{one}", one).digest == one
