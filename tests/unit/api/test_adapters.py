"""Which adapters may stand beside which model."""

import pytest
from model_builders import an_artifact

from berth_api.adapters import FORMATS, check_adapters
from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.engines import SERVED
from berth_api.errors import InvalidSpec

LORA = Artifact(format=Format.GGUF, task=Task.AUTO, architecture="llama")
PEFT = Artifact(format=Format.SAFETENSORS, task=Task.AUTO)


def refusal(engine: EngineType, base: Artifact, *adapters: Artifact) -> str:
    with pytest.raises(InvalidSpec) as refused:
        check_adapters(engine, base, {f"a{number}": adapter for number, adapter in enumerate(adapters)})
    return str(refused.value)


def test_every_engine_that_serves_adapters_reads_them_in_a_format_that_it_loads_and_there_are_two() -> None:
    assert set(FORMATS) == {EngineType.LLAMA_CPP, EngineType.VLLM}
    assert all(found in SERVED[engine].formats for engine, found in FORMATS.items())


@pytest.mark.parametrize(
    ("engine", "adapter"), [(EngineType.LLAMA_CPP, LORA), (EngineType.VLLM, PEFT)], ids=["gguf", "peft"]
)
@pytest.mark.parametrize("task", [Task.CHAT, Task.COMPLETION])
def test_an_adapter_of_the_engines_format_is_taken(engine: EngineType, adapter: Artifact, task: Task) -> None:
    check_adapters(engine, an_artifact(adapter.format, task, architecture="llama"), {"sql": adapter})


def test_an_engine_without_adapters_is_fine_with_none() -> None:
    check_adapters(EngineType.ONNX_RUNTIME, an_artifact(Format.ONNX, Task.EMBEDDING), {})


@pytest.mark.parametrize("engine", sorted(set(SERVED) - set(FORMATS)))
def test_an_engine_that_serves_none_says_which_do(engine: EngineType) -> None:
    said = refusal(engine, an_artifact(), LORA)
    assert said.startswith(f"spec.adapters: {engine} serves no adapters; ")
    assert "LlamaCpp, VLLM" in said


def test_a_model_that_writes_no_text_has_none() -> None:
    assert "the task of this one is Embedding" in refusal(EngineType.LLAMA_CPP, an_artifact(task=Task.EMBEDDING), LORA)


def test_each_adapter_of_another_format_is_named_with_what_to_do() -> None:
    said = refusal(EngineType.LLAMA_CPP, an_artifact(), LORA, PEFT, PEFT)
    assert "spec.adapters[0]" not in said
    assert "spec.adapters[1].source: the adapter a1 is Safetensors, and LlamaCpp reads adapters as GGUF" in said
    assert "spec.adapters[2].source: " in said
    assert "convert_lora_to_gguf.py" in said
    assert "adapter_config.json" in refusal(EngineType.VLLM, an_artifact(Format.SAFETENSORS), LORA)


def test_an_adapter_of_another_architecture_is_told_from_the_headers() -> None:
    said = refusal(EngineType.LLAMA_CPP, an_artifact(architecture="qwen3"), LORA)
    assert "the adapter a0 was made for the architecture llama, and the model is qwen3" in said


def test_what_the_headers_do_not_say_is_left_to_the_engine() -> None:
    check_adapters(EngineType.LLAMA_CPP, an_artifact(), {"sql": LORA})
    unsaid = LORA.model_copy(update={"architecture": None})
    check_adapters(EngineType.LLAMA_CPP, an_artifact(architecture="qwen3"), {"sql": unsaid})
