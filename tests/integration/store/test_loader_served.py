"""What a loader has left in a volume is what the runtime serves, wherever the volume is mounted."""

from pathlib import Path

import pytest
import tools
from fetch_process import start_loader
from folder_builders import files_in
from gguf_builders import llama_gguf
from openai import AsyncOpenAI
from pushed import push_files
from registry import RunningRegistry
from runtime_server import start_runtime
from tiny_encoders import CONFIGS, HIDDEN, write_sentence_modules, write_tiny_encoder, write_tiny_tokenizer

from berth_store.convert.encoder import convert_encoder

pytestmark = pytest.mark.needs("registry", "smollm2")


def encoder_files(folder: Path) -> dict[str, bytes]:
    """A small encoder as many are published: the graph in `onnx/`, everything else beside that folder."""
    source = write_tiny_encoder(folder / "source", CONFIGS["bert"])
    write_tiny_tokenizer(source)
    write_sentence_modules(source)
    files = files_in(convert_encoder(source, folder / "converted").parent)
    return {f"onnx/{name}" if name.endswith(".onnx") else name: content for name, content in files.items()}


async def mounted(folder: Path, source: str) -> Path:
    """The model of a loaded volume that was moved to another place."""
    folder.mkdir()
    async with start_loader(folder, source) as loader:
        assert await loader.ended() == 0
    return loader.volume.rename(folder / "mounted") / "model"


async def test_a_chat_model_and_an_encoder_answer_from_loaded_volumes(
    tmp_path: Path, real_registry: RunningRegistry
) -> None:
    weights = tools.find("smollm2")
    assert weights is not None
    chat = {"SmolLM2.gguf": weights.read_bytes(), "LICENSE": b"Apache-2.0"}
    chat_model = await mounted(
        tmp_path / "chat", await push_files(real_registry, "team/chat:1", chat, tmp_path / "origin")
    )
    encoder = {**encoder_files(tmp_path / "encoder-files"), "draft/other.gguf": llama_gguf()}
    encoder_model = await mounted(
        tmp_path / "encoder", await push_files(real_registry, "team/encoder:1", encoder, tmp_path / "origin")
    )
    async with start_runtime("--model", f"chat={chat_model}", "--model", f"encoder={encoder_model}") as runtime:
        await runtime.wait_for_states({"chat": "Ready", "encoder": "Ready"})
        async with AsyncOpenAI(base_url=f"{runtime.base_url}/v1", api_key="none", max_retries=0) as client:
            said = await client.completions.create(model="chat", prompt="One, two,", max_tokens=4)
            assert said.choices[0].text
            vectors = await client.embeddings.create(model="encoder", input="w7 w8")
            assert len(vectors.data[0].embedding) == HIDDEN
