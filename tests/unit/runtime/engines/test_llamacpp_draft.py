"""Whether a draft model can guess for a model, by their headers."""

from pathlib import Path
from typing import Any

import pytest
from gguf_builders import Strings, llama_gguf

from berth_api.artifact import Artifact, Format, Task
from berth_runtime.engines.llamacpp_draft import MAX_DIFFERENCE, read_draft
from berth_runtime.engines.protocol import DraftSettings, EngineSettings, LoadFailed
from berth_store.detect import DetectedModel
from berth_store.headers.gguf import read_gguf
from berth_store.headers.gguf_header import GgufHeader


def words(count: int) -> Strings:
    return Strings([f"token-{number}" for number in range(count)])


def look(folder: Path, *, draft: bool = True, **changes: Any) -> GgufHeader | None:
    """What is read of a draft model with these changes, for a model of 300 tokens."""
    model, small = folder / "model.gguf", folder / "small.gguf"
    model.write_bytes(llama_gguf())
    small.write_bytes(llama_gguf(**changes))
    settings = EngineSettings(
        model=DetectedModel(Artifact(format=Format.GGUF, task=Task.CHAT), root=folder, weights=(model,)),
        name="m",
        task=Task.CHAT,
        threads=1,
        memory_bytes=1 << 30,
        draft=DraftSettings(small, 3, 0.0) if draft else None,
    )
    return read_draft(settings, read_gguf(model))


def test_without_a_draft_model_nothing_is_read(tmp_path: Path) -> None:
    assert look(tmp_path, draft=False) is None


@pytest.mark.parametrize(
    "changes",
    [{}, {"llama__block_count": 1}, {"tokenizer__chat_template": None}, {"tokenizer__ggml__tokens": words(300 + 128)}],
)
def test_one_with_the_same_vocabulary_may_guess(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert look(tmp_path, **changes) is not None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tokenizer__ggml__model": "gpt2"}, r"tokenizer\.ggml\.model is gpt2 and None"),
        ({"tokenizer__ggml__eos_token_id": 7}, r"tokenizer\.ggml\.eos_token_id is 7 and None"),
        (
            {"tokenizer__ggml__tokens": words(301 + MAX_DIFFERENCE)},
            "a vocabulary of 429 tokens, and the model one of 300",
        ),
    ],
)
def test_one_with_another_vocabulary_is_refused_before_anything_is_loaded(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(LoadFailed, match=why) as refused:
        look(tmp_path, **changes)
    assert "the draft model small.gguf" in str(refused.value)
    assert "take a small model of the same family" in str(refused.value)
