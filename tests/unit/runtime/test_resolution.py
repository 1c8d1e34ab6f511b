"""From a `--model` to the engine that gets it."""

from pathlib import Path

import pytest
from folder_builders import as_bytes, sentence_files, write_files
from gguf_builders import Tensor, gguf, llama_gguf
from onnx_builders import encoder_onnx
from safetensors_builders import safetensors

from berth_api.artifact import EngineType, Format
from berth_api.errors import UnsupportedModel
from berth_runtime.arguments import parse_arguments
from berth_runtime.engines.protocol import DraftSettings
from berth_runtime.resolution import resolve_model, shares_of
from berth_runtime.served import ResolvedModel
from berth_store.detect import detect
from berth_store.detect.adapter import detect_adapter


async def resolve(*argv: str) -> ResolvedModel:
    options = parse_arguments(argv)
    return await resolve_model(options.models[0], options)


async def test_models_that_share_a_process_share_its_memory(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_files(tmp_path / name, {"m.gguf": llama_gguf()})
    size = (tmp_path / "a/m.gguf").stat().st_size
    models = [f"--model={name}={tmp_path / name}/m.gguf" for name in ("a", "b")]
    options = parse_arguments([*models, "--memory", str(2 * size - 1)])
    shares = shares_of(options)
    first, second = options.models
    resolved = await resolve_model(first, options, shares)
    assert resolved.order.settings.memory_bytes == size + (size - 1) // 2
    with pytest.raises(UnsupportedModel, match="and a has"):
        await resolve_model(second, options, shares)


@pytest.fixture
def two_formats(tmp_path: Path) -> Path:
    return write_files(tmp_path, as_bytes({**sentence_files(), "model.onnx": encoder_onnx(), "m.gguf": llama_gguf()}))


@pytest.mark.parametrize(("engine", "found"), [("LlamaCpp", Format.GGUF), ("OnnxRuntime", Format.ONNX)])
async def test_of_a_folder_with_two_formats_the_engine_gets_its_own(
    two_formats: Path, engine: str, found: Format
) -> None:
    resolved = await resolve("--model", str(two_formats), "--engine", engine)
    assert (resolved.engine, resolved.format) == (EngineType(engine), found)


async def test_without_an_engine_a_folder_with_two_formats_is_asked_about(two_formats: Path) -> None:
    with pytest.raises(UnsupportedModel, match="models of several formats"):
        await resolve("--model", str(two_formats))


LORA = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}
PAIR = (Tensor("blk.0.attn_q.weight.lora_a", (64, 4)), Tensor("blk.0.attn_q.weight.lora_b", (4, 64)))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("berth_runtime.resolution.detect_bounded", detect)
    monkeypatch.setattr("berth_runtime.resolution.detect_adapter_bounded", detect_adapter)
    (tmp_path / "m.gguf").write_bytes(llama_gguf())
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "lora.gguf").write_bytes(bytes(gguf(LORA, PAIR).content))
    return tmp_path / "m.gguf"


async def test_an_adapter_may_be_given_by_its_folder(model: Path) -> None:
    resolved = await resolve("--model", str(model), "--adapter", f"sql={model.parent / 'sql'}")
    assert resolved.order.settings.adapters == {"sql": model.parent / "sql" / "lora.gguf"}


async def test_what_is_no_adapter_is_told_by_its_name(model: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"^the adapter 'sql': m\.gguf is no LoRA in GGUF"):
        await resolve("--model", str(model), "--adapter", f"sql={model}")


async def test_an_engine_without_adapters_refuses_them(model: Path, two_formats: Path) -> None:
    adapter = f"sql={model.parent / 'sql'}"
    with pytest.raises(UnsupportedModel, match="OnnxRuntime serves no adapters"):
        await resolve("--model", str(two_formats / "model.onnx"), "--adapter", adapter)


async def test_an_adapter_of_another_format_is_told_by_its_name(model: Path, tmp_path: Path) -> None:
    weights = {"q.lora_A.weight": ("F32", (8, 64)), "q.lora_B.weight": ("F32", (64, 8))}
    folder = write_files(tmp_path / "peft", as_bytes({"adapter_config.json": {"peft_type": "LORA", "r": 8}}))
    write_files(folder, {"adapter_model.safetensors": safetensors(weights)})
    with pytest.raises(UnsupportedModel, match="the adapter 'sql' is Safetensors, and LlamaCpp reads adapters as GGUF"):
        await resolve("--model", str(model), "--adapter", f"sql={folder}")


async def test_a_draft_model_may_be_given_by_its_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "s.gguf").write_bytes(llama_gguf())
    resolved = await resolve("--model", str(model), "--draft", str(tmp_path / "small"), "--draft-tokens", "8")
    assert resolved.order.settings.draft == DraftSettings(tmp_path / "small" / "s.gguf", 8, 0.0)


async def test_a_draft_model_that_is_none_or_of_no_use_is_told_so(model: Path, two_formats: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"the draft model: lora\.gguf is an adapter"):
        await resolve("--model", str(model), "--draft", str(model.parent / "sql" / "lora.gguf"))
    with pytest.raises(UnsupportedModel, match="a draft model is for LlamaCpp, and OnnxRuntime serves this one"):
        await resolve("--model", str(two_formats / "model.onnx"), "--draft", str(model))
