"""What the engine Torch decides before PyTorch is asked, and the seam at which its models are put in."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from folder_builders import as_bytes, sentence_files, write_files
from recorded_reply import RecordedReply
from safetensors_builders import safetensors
from tiny_encoders import write_tiny_tokenizer

from berth_api.artifact import Task
from berth_runtime.engines import torch
from berth_runtime.engines.jobs import Interrupt
from berth_runtime.engines.protocol import EmbeddingRequest, EngineSettings, LoadFailed, Operation
from berth_runtime.engines.text_padding import pad
from berth_runtime.engines.text_shape import Head, OutputShape, Results
from berth_runtime.engines.text_tokens import Tokens
from berth_runtime.engines.text_window import BatchLimits
from berth_runtime.engines.torch_plan import (
    Device,
    Numbers,
    check_complete,
    check_config,
    check_files,
    check_sizes,
    choose_device,
    choose_numbers,
    needs_code,
    plain_words,
)
from berth_store.detect import DetectedModel, detect

KNOWN = ("bert", "vit")


@pytest.mark.parametrize(
    ("args", "has_gpu", "chosen"),
    [
        ({}, False, Device.CPU),
        ({}, True, Device.CUDA),
        ({"device": "auto"}, True, Device.CUDA),
        ({"device": "cpu"}, True, Device.CPU),
        ({"device": "cuda"}, True, Device.CUDA),
    ],
)
def test_a_gpu_computes_where_there_is_one(args: dict[str, str], has_gpu: bool, chosen: Device) -> None:
    assert choose_device(args, has_gpu=has_gpu) is chosen


def test_a_gpu_that_is_asked_for_and_not_there_is_told() -> None:
    with pytest.raises(LoadFailed, match=r"finds no GPU.*device=cpu"):
        choose_device({"device": "cuda"}, has_gpu=False)
    with pytest.raises(LoadFailed, match="it may be auto, cpu, cuda"):
        choose_device({"device": "tpu"}, has_gpu=True)


def test_half_precision_is_for_gpus_unless_it_is_asked_for() -> None:
    assert choose_numbers({}, Device.CPU) is Numbers.FLOAT32
    assert choose_numbers({}, Device.CUDA) is Numbers.AUTO
    assert choose_numbers({"dtype": "bfloat16"}, Device.CPU) is Numbers.BFLOAT16


def test_a_head_that_is_in_no_file_is_not_made_up() -> None:
    check_complete([], Task.RERANK)
    check_complete(["pooler.dense.weight", "bert.pooler.dense.bias"], Task.EMBEDDING)
    with pytest.raises(LoadFailed, match=r"no weights classifier\.bias, classifier\.weight, which the task Rerank"):
        check_complete(["classifier.weight", "classifier.bias"], Task.RERANK)
    with pytest.raises(LoadFailed, match="pooler"):
        check_complete(["bert.pooler.dense.bias"], Task.TEXT_CLASSIFICATION)
    with pytest.raises(LoadFailed, match="w0, w1, w2, w3 and 5 more"):
        check_complete([f"w{number}" for number in range(9)], Task.EMBEDDING)


def test_weights_of_other_sizes_than_stated_are_named() -> None:
    check_sizes([])
    with pytest.raises(LoadFailed, match=r"the weights b, w have other sizes than config\.json says"):
        check_sizes(["w", "b"])


@pytest.mark.parametrize(
    ("model_type", "auto_map", "trusted", "code"),
    [
        ("bert", False, False, False),
        ("bert", False, True, False),
        ("bert", True, False, False),
        ("bert", True, True, True),
        ("own", True, True, True),
    ],
)
def test_code_of_the_model_runs_only_where_it_is_trusted(
    model_type: str, auto_map: bool, trusted: bool, code: bool
) -> None:
    assert needs_code(model_type, KNOWN, auto_map=auto_map, trusted=trusted) is code


def test_an_architecture_that_is_code_alone_asks_for_trust() -> None:
    with pytest.raises(LoadFailed, match=r"'own' is Python that lies beside the weights.*spec\.trust\.remoteCode"):
        needs_code("own", KNOWN, auto_map=True, trusted=False)
    with pytest.raises(LoadFailed, match="the architecture 'own', which this version of transformers does not have"):
        needs_code("own", KNOWN, auto_map=False, trusted=True)
    with pytest.raises(LoadFailed, match="names no architecture"):
        needs_code(None, KNOWN, auto_map=False, trusted=False)


def test_quantised_weights_are_refused_by_their_method() -> None:
    check_config({"model_type": "bert"})
    with pytest.raises(LoadFailed, match=r"quantised \(awq\)"):
        check_config({"quantization_config": {"quant_method": "awq"}})


def test_the_librarys_words_name_no_folder() -> None:
    error = OSError("no file named model.safetensors in /models/store/views/abc.\n Try again.")
    assert plain_words(error) == "no file named model.safetensors in abc. Try again"
    assert plain_words(KeyError()) == "KeyError"


def test_the_environment_is_sealed_whatever_stands_in_it() -> None:
    environ = {"HF_HUB_OFFLINE": "0", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "HOME": "/tmp"}
    torch.seal(environ)
    assert environ == {**torch.ENVIRONMENT, "HOME": "/tmp"}
    assert environ["HF_HUB_OFFLINE"] == environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"


def a_model(folder: Path, **files: object) -> DetectedModel:
    named = {name.replace("__", "."): content for name, content in files.items()}
    content = {**sentence_files(), "model.safetensors": safetensors(), **named}
    return detect(write_files(folder, as_bytes(content)))


def settings(model: DetectedModel, task: Task = Task.EMBEDDING, **args: str) -> EngineSettings:
    return EngineSettings(model=model, name="m", task=task, threads=2, memory_bytes=1 << 30, args=args)


def test_weights_have_the_names_that_transformers_looks_for(tmp_path: Path) -> None:
    model = a_model(tmp_path)
    check_files(model)
    renamed = tmp_path / "model.safetensors"
    renamed.rename(tmp_path / "encoder.safetensors")
    with pytest.raises(LoadFailed, match=r"are called encoder\.safetensors.*give them that name"):
        check_files(detect(tmp_path))


def test_a_task_that_torch_does_not_do_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"can't do the task Chat; set one of Embedding"):
        torch.create(settings(a_model(tmp_path), Task.CHAT))


class FakeTexts:
    """A `TextModel` whose tokens' vectors are their ids, eight times."""

    shape = OutputShape(output="last_hidden_state", width=8)
    limits = BatchLimits()
    threads = 1

    def ready(self, head: Head, padding_id: int) -> "FakeTexts":
        self.head, self.padding_id = head, padding_id
        return self

    def interrupt(self) -> Interrupt:
        return Interrupt()

    def run(self, batch: list[Tokens], interrupt: Interrupt) -> Results:
        values = pad(batch, self.padding_id)
        ids = values["input_ids"].astype(np.float32)
        return self.head(np.stack([ids] * 8, axis=-1), values["attention_mask"])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What stands in for the module that imports PyTorch; it notes what it is asked for."""
    asked = SimpleNamespace(settings=None)

    def open_texts(given: EngineSettings, task: object) -> FakeTexts:
        asked.settings = given
        return FakeTexts()

    module = ModuleType("fake_torch_models")
    vars(module).update(open_texts=open_texts)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(torch, "MODELS", module.__name__)
    monkeypatch.setattr(torch, "seal", lambda environ: None)
    return asked


def test_vectors_are_pooled_as_the_files_say_whatever_the_library(tmp_path: Path, fake: SimpleNamespace) -> None:
    a_model(tmp_path)
    write_tiny_tokenizer(tmp_path)
    engine = torch.create(settings(detect(tmp_path), normalize="false"))
    capabilities = engine.load()
    assert (capabilities.dimensions, set(capabilities.parameters)) == (8, {Operation.EMBEDDING})
    engine.prove()
    reply = RecordedReply()
    engine.submit(EmbeddingRequest(((4, 6), (1, 2, 3))), reply)
    assert reply.matrix().tolist() == [[5] * 8, [2] * 8]
    assert fake.settings.task is Task.EMBEDDING
