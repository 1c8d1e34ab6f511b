"""Context and texts at once are what the user asked for, within what the model knows and the memory holds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from decoder_builders import decoder_files, genai_config
from folder_builders import write_files

from berth_api.artifact import Task
from berth_runtime.engines.decoder_plan import DecoderPlan, plan_decoder
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.detect import detect

PER_TOKEN = 2 * 2 * 3 * 64 * 4  # layers, keys and values, heads, numbers of a head, bytes of a number
MEBIBYTE = 1 << 20


def plan(tmp_path: Path, *, size_bytes: int = 0, own: int = 2048, **changes: Any) -> DecoderPlan:
    files = decoder_files(**{"genai_config.json": genai_config(context_length=own)})
    model = detect(write_files(tmp_path, files))
    model = replace(model, artifact=model.artifact.model_copy(update={"size_bytes": size_bytes}))
    settings = EngineSettings(model=model, name="m", task=Task.CHAT, threads=2, memory_bytes=1 << 30)
    assert model.decoder is not None
    return plan_decoder(replace(settings, **changes), model.decoder)


def test_what_the_user_says_is_done(tmp_path: Path) -> None:
    made = plan(tmp_path, context_length=1000, parallel_sequences=7)
    assert (made.context_length, made.sequences) == (1000, 7)


def test_a_model_has_no_more_context_than_it_knows(tmp_path: Path) -> None:
    assert plan(tmp_path, context_length=99_999).context_length == 2048
    assert plan(tmp_path).context_length == 2048


def test_without_a_word_a_long_context_is_cut(tmp_path: Path) -> None:
    assert plan(tmp_path, own=1 << 20, memory_bytes=1 << 36).context_length == 8192


def test_a_small_memory_has_a_small_context(tmp_path: Path) -> None:
    room = 4 * 4 * PER_TOKEN * 1000  # a quarter of it, for four texts of a thousand tokens
    assert plan(tmp_path, size_bytes=MEBIBYTE, memory_bytes=room + MEBIBYTE).context_length == 1000
    assert plan(tmp_path, memory_bytes=4 * PER_TOKEN * 600).context_length == 512


@pytest.mark.parametrize("asked", [{"context_length": 2048, "parallel_sequences": 64}, {}])
def test_what_the_memory_does_not_hold_says_the_sum(tmp_path: Path, asked: dict[str, int]) -> None:
    with pytest.raises(LoadFailed, match=r"the keys and values of \d+ texts of [\d,]+ tokens take .* 2.0 MiB beside"):
        plan(tmp_path, size_bytes=MEBIBYTE, memory_bytes=3 * MEBIBYTE, **asked)


def test_prompts_are_read_in_pieces_that_take_a_bounded_room(tmp_path: Path) -> None:
    assert plan(tmp_path).read_tokens == 128
    assert plan(tmp_path, own=1 << 22, context_length=1 << 21, memory_bytes=1 << 40).read_tokens == 8


@pytest.mark.parametrize("word", ["gpu", "cuda"])
def test_a_gpu_is_refused_by_name(tmp_path: Path, word: str) -> None:
    with pytest.raises(LoadFailed, match=f"writes text on the CPU alone, and provider={word} asks for another"):
        plan(tmp_path, args={"provider": word})


def test_arguments_for_other_work_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="has no argument 'pooling' for the task Chat; it has provider"):
        plan(tmp_path, args={"pooling": "mean"})
    assert plan(tmp_path, args={"provider": "cpu"})
