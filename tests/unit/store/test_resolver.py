"""An artifact is known by the headers of its files: the same as of the whole, and little of it is fetched."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import lies
import numpy as np
import pytest
from folder_builders import as_bytes, files_in, sentence_files, write_files
from gguf_builders import LLAMA_TENSORS, Strings, Tensor, gguf, llama_gguf, llama_metadata, write_gguf_shards
from lies import Lie
from lying_registry import LyingRegistry
from oci_artifacts import MadeArtifact, make_artifact
from onnx_builders import (
    TOKEN_INPUTS,
    encoder_onnx,
    onnx,
    onnx_graph,
    onnx_node,
    onnx_tensor,
    onnx_value,
    onnx_with_outputs,
)
from pulls import QUICK
from safetensors_builders import safetensors
from tflite_builders import picture_graph, ssd_tflite

from berth_api.artifact import EngineType, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store import mediatypes
from berth_store.detect import detect
from berth_store.errors import DigestMismatch, NoModelInSource, SourceNotFound, SourceUnreachable
from berth_store.reference import Reference
from berth_store.resolver import scratch
from berth_store.resolver.resolve import Resolution, resolve

pytestmark = pytest.mark.timeout(60)
MIB = 1024 * 1024
LARGE = Tensor("output.weight", (1024, 2048 + 1024))
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 4096}


def large_gguf(*, token_bytes: int = 8) -> bytes:
    """A chat model of 12 MiB whose header grows with its vocabulary of 20,000 tokens."""
    tokens = Strings([f"{number:0{token_bytes}}" for number in range(20_000)])
    metadata = llama_metadata(tokenizer__ggml__tokens=tokens)
    return bytes(gguf(metadata, [*LLAMA_TENSORS, LARGE]).content)


def large_onnx() -> bytes:
    """An encoder with 8 MiB of weights in the middle of its file."""
    weights = [onnx_tensor(f"weight-{number}", (512, 1024)) for number in range(4)]
    output = onnx_value("last_hidden_state", ("batch", "sequence", 8))
    return onnx(onnx_graph(nodes=[onnx_node("MatMul")], inputs=TOKEN_INPUTS, outputs=[output], initializers=weights))


def large_tflite() -> bytes:
    """A classifier with 8 MiB of weights in the middle of its file."""
    graph, place, scores = picture_graph(kind="uint8")
    for number in range(4):
        graph.constant(f"weight-{number}", np.full((512, 1024), number, np.float32))
    return graph.build([place], [scores])


class Bench:
    """A registry, and a resolver that asks it."""

    def __init__(self, registry: LyingRegistry, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.reference = Reference.parse("localhost/none")

    def hold(self, files: dict[str, bytes], **kind: str) -> MadeArtifact:
        artifact = make_artifact(files, **kind)  # type: ignore[arg-type]
        self.reference = self.registry.hold("team/model", artifact)
        return artifact

    async def resolve(
        self,
        reference: Reference | None = None,
        *,
        task: Task = Task.AUTO,
        engine: EngineType = EngineType.AUTO,
        adapter: bool = False,
    ) -> Resolution:
        asked = reference or self.reference
        return await resolve(asked, registries=QUICK, scratch=self.folder, task=task, engine=engine, adapter=adapter)

    @property
    def asked_bytes(self) -> int:
        return sum(span.length for span in self.registry.spans() if span)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "scratch").mkdir()
    async with LyingRegistry() as registry:
        yield Bench(registry, tmp_path / "scratch")


SENTENCE = as_bytes(sentence_files())
SHARDS: dict[str, bytes] = as_bytes(
    {
        "m-00001-of-00002.safetensors": safetensors({"a": ("F16", (512, 2048))}),
        "m-00002-of-00002.safetensors": safetensors({"b": ("F16", (512, 2048))}),
        "model.safetensors.index.json": {
            "metadata": {"total_size": 2 * MIB * 2},
            "weight_map": {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"},
        },
        "config.json": LLAMA,
        "chat_template.jinja": b"{{ messages }}",
    }
)
PICTURES = as_bytes(
    {
        "model.onnx": onnx_with_outputs(
            onnx_value("logits", ("b", 2)), inputs=[onnx_value("pixel_values", ("b", 3, 64, 64))]
        ),
        "preprocessor_config.json": {"size": {"height": 64, "width": 64}},
        "config.json": {"architectures": ["ViTForImageClassification"], "id2label": {"0": "a", "1": "b"}},
    }
)


@pytest.mark.parametrize(
    "files",
    [
        {"model.gguf": large_gguf()},
        {"model.gguf": llama_gguf(), "LICENSE": b"MIT"},
        {**SENTENCE, "model.onnx": large_onnx()},
        {**SENTENCE, "onnx/model.onnx": encoder_onnx()},
        {**SENTENCE, "model.safetensors": safetensors()},
        SHARDS,
        PICTURES,
        {"model.tflite": large_tflite(), "labels.txt": b"red\ngreen\nblue\n"},
        {"model.tflite": ssd_tflite(labels="red\ngreen\n")},
    ],
    ids=["gguf", "small gguf", "onnx", "onnx below", "safetensors", "shards", "pictures", "tflite", "small tflite"],
)
async def test_the_answer_is_that_of_detection_on_the_whole_artifact(
    bench: Bench, files: dict[str, bytes], tmp_path: Path
) -> None:
    artifact = bench.hold(files)
    whole = detect(write_files(tmp_path / "whole", files))
    found = await bench.resolve()
    expected = whole.artifact.model_copy(update={"digest": artifact.digest, "size_bytes": artifact.size_bytes})
    assert found.artifact == expected
    assert found.weights == str(whole.weights[0].relative_to(whole.root))
    assert found.notes == whole.notes


async def test_of_a_split_model_the_first_file_is_the_main_one(bench: Bench, tmp_path: Path) -> None:
    write_gguf_shards(tmp_path, "big", 3)
    bench.hold(files_in(tmp_path, "*.gguf"))
    assert (await bench.resolve()).weights == "big-00001-of-00003.gguf"


@pytest.mark.parametrize(
    ("files", "most_bytes"),
    [
        ({"model.gguf": large_gguf()}, MIB),
        ({**SENTENCE, "model.onnx": large_onnx()}, 3 * MIB // 4),
        (SHARDS, 3 * MIB // 4),
        ({"model.tflite": large_tflite(), "labels.txt": b"red\ngreen\nblue\n"}, MIB // 2),
    ],
    ids=["gguf", "onnx", "safetensors", "tflite"],
)
async def test_weights_are_not_fetched(bench: Bench, files: dict[str, bytes], most_bytes: int) -> None:
    bench.hold(files)
    await bench.resolve()
    assert None not in bench.registry.spans(), "no blob is fetched whole"
    assert bench.asked_bytes < most_bytes
    on_disk = sum(path.stat().st_blocks * 512 for path in bench.folder.rglob("*") if path.is_file())
    assert on_disk < 2 * most_bytes, "what was not fetched takes no room"


async def test_a_long_header_takes_few_requests(bench: Bench) -> None:
    bench.hold({"model.gguf": large_gguf(token_bytes=300)})
    await bench.resolve()
    assert bench.asked_bytes > 6 * MIB
    assert len(bench.registry.spans()) < 12


async def test_nothing_is_fetched_twice(bench: Bench) -> None:
    bench.hold({"model.gguf": large_gguf()})
    await bench.resolve()
    spans = sorted(span for span in bench.registry.spans() if span)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(spans))


@pytest.mark.parametrize("lie", [lies.ignore_range, lies.not_satisfiable, lies.another_range, lies.another_size])
async def test_a_registry_without_true_ranges_is_read_from_the_start(bench: Bench, lie: Lie) -> None:
    bench.hold({**SENTENCE, "model.onnx": large_onnx()})
    bench.registry.always(lie)
    assert (await bench.resolve()).artifact.format is Format.ONNX


@pytest.mark.parametrize("lie", [lies.reset_midway, lies.reset_at_once, lies.status(503), lies.stall])
async def test_trouble_that_passes_is_tried_again(bench: Bench, lie: Lie) -> None:
    bench.hold({"model.gguf": large_gguf()})
    bench.registry.lie(lie, times=3)
    assert (await bench.resolve()).artifact.task is Task.CHAT


async def test_trouble_that_stays_is_the_registrys(bench: Bench) -> None:
    bench.hold({"model.gguf": large_gguf()})
    bench.registry.always(lies.reset_at_once)
    with pytest.raises(SourceUnreachable, match="connection broke"):
        await bench.resolve()


async def test_a_damaged_header_is_no_model_and_is_named_by_its_reference(bench: Bench) -> None:
    bench.hold({"model.gguf": llama_gguf()[:5000]})
    with pytest.raises(UnsupportedModel, match="the file is cut off or lies"):
        await bench.resolve()


async def test_a_pickle_is_refused_in_words_that_name_the_artifact(bench: Bench) -> None:
    bench.hold({"notes.txt": b"hello"})
    with pytest.raises(UnsupportedModel) as refused:
        await bench.resolve()
    assert str(refused.value).startswith(f"{bench.reference} holds no model")
    assert str(bench.folder) not in str(refused.value)


async def test_what_wants_more_of_its_bytes_than_any_header_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "MOST_BYTES", MIB)
    bench.hold({"model.gguf": large_gguf(token_bytes=300)})
    with pytest.raises(UnsupportedModel, match="more than 1,048,576 bytes of it would have to be read"):
        await bench.resolve()


async def test_the_users_task_wins(bench: Bench) -> None:
    graph = onnx_with_outputs(onnx_value("logits", ("batch", 2)))
    bench.hold({**SENTENCE, "model.onnx": graph})
    assert (await bench.resolve(task=Task.TEXT_CLASSIFICATION)).artifact.task is Task.TEXT_CLASSIFICATION


async def test_an_engine_of_one_format_decides_between_two(bench: Bench) -> None:
    bench.hold({**SENTENCE, "model.onnx": encoder_onnx(), "model.gguf": llama_gguf()})
    with pytest.raises(UnsupportedModel, match="models of several formats"):
        await bench.resolve()


@pytest.mark.parametrize(
    ("engine", "weights"), [(EngineType.LLAMA_CPP, "model.gguf"), (EngineType.ONNX_RUNTIME, "model.onnx")]
)
async def test_the_format_of_the_engine_is_looked_for(bench: Bench, engine: EngineType, weights: str) -> None:
    bench.hold({**SENTENCE, "model.onnx": encoder_onnx(), "model.gguf": llama_gguf()})
    assert (await bench.resolve(engine=engine)).weights == weights


async def test_what_was_passed_over_is_told(bench: Bench) -> None:
    bench.hold({**SENTENCE, "model.onnx": encoder_onnx(), "model.safetensors": safetensors()})
    assert (await bench.resolve()).notes == (
        "the folder also holds Safetensors: set `spec.artifact.format` to Safetensors to serve that",
    )


async def test_a_pin_that_is_right_is_kept(bench: Bench) -> None:
    artifact = bench.hold({"model.gguf": llama_gguf()})
    found = await bench.resolve(bench.reference.with_digest(artifact.digest))
    assert found.artifact.digest == artifact.digest


async def test_a_pin_that_another_content_answers_to_is_a_mismatch(bench: Bench) -> None:
    artifact = bench.hold({"model.gguf": llama_gguf()})
    other = make_artifact({"model.gguf": b"other"})
    bench.registry.artifacts["team/model", other.digest] = artifact.manifest
    with pytest.raises(DigestMismatch):
        await bench.resolve(bench.reference.with_digest(other.digest))


async def test_an_unknown_tag_is_not_found(bench: Bench) -> None:
    bench.hold({"model.gguf": llama_gguf()})
    with pytest.raises(SourceNotFound):
        await bench.resolve(Reference.parse(f"{bench.registry.authority}/team/model:other"))


async def test_a_name_of_a_laptops_own_store_is_not_found(bench: Bench) -> None:
    with pytest.raises(SourceNotFound, match="names on localhost"):
        await bench.resolve(Reference.parse("localhost/model:1"))


async def test_a_container_image_is_no_model_before_any_blob_is_asked_for(bench: Bench) -> None:
    bench.hold({"layer.tar": b"x"}, config_type="application/vnd.oci.image.config.v1+json")
    with pytest.raises(NoModelInSource):
        await bench.resolve()
    assert bench.registry.spans() == []


async def test_a_hostile_file_name_is_refused_before_anything_is_written(bench: Bench) -> None:
    bench.hold({"../model.gguf": llama_gguf()})
    with pytest.raises(NoModelInSource):
        await bench.resolve()
    assert list(bench.folder.iterdir()) == []


async def test_files_of_the_same_content_are_one_blob(bench: Bench) -> None:
    template = b"{{ messages }}"
    bench.hold({"model.gguf": llama_gguf(), "a.txt": template, "b.txt": template}, layer_type=mediatypes.MODEL_FILE)
    assert (await bench.resolve()).weights == "model.gguf"


async def test_an_adapter_is_known_by_its_header_alone(bench: Bench) -> None:
    metadata = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}
    wide = [Tensor("blk.0.ffn_up.weight.lora_a", (1 << 17, 16)), Tensor("blk.0.ffn_up.weight.lora_b", (16, 64))]
    artifact = bench.hold({"sql.gguf": bytes(gguf(metadata, wide).content)})
    found = await bench.resolve(adapter=True)
    assert (found.artifact.format, found.artifact.task) == (Format.GGUF, Task.AUTO)
    assert (found.artifact.digest, found.artifact.architecture) == (artifact.digest, "llama")
    assert found.artifact.size_bytes is not None
    assert found.artifact.size_bytes > 8 * MIB
    assert bench.asked_bytes < MIB


async def test_a_model_in_the_place_of_an_adapter_is_told_so(bench: Bench) -> None:
    bench.hold({"m.gguf": llama_gguf()})
    with pytest.raises(UnsupportedModel, match="holds no adapter"):
        await bench.resolve(adapter=True)
