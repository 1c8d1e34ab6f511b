"""From a `--model` to the engine that gets it."""

from pathlib import Path

import pytest
from folder_builders import as_bytes, sentence_files, write_files
from gguf_builders import llama_gguf
from onnx_builders import encoder_onnx

from berth_api.artifact import EngineType, Format
from berth_api.errors import UnsupportedModel
from berth_runtime.arguments import parse_arguments
from berth_runtime.resolution import resolve_model, shares_of
from berth_runtime.served import ResolvedModel


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
