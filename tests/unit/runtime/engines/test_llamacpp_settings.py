"""How llama.cpp is started: what was asked, what the model allows, what fits into memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from berth_api.artifact import Artifact, Format, Task
from berth_runtime.engines.llamacpp_settings import kv_bytes_per_token, plan_llamacpp
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.detect import DetectedModel
from berth_store.headers.gguf import GgufHeader

GIB = 1 << 30


def a_header(*, context_length: int = 131_072, file_bytes: int = 5 * GIB, **more: Any) -> GgufHeader:
    """An 8-billion-parameter llama: 32 layers, 8 of 32 heads kept, 4,096 wide; 128 KiB of cache a token."""
    metadata = {
        "general.architecture": "llama",
        "llama.context_length": context_length,
        "llama.block_count": 32,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
        "llama.embedding_length": 4096,
        **more,
    }
    return GgufHeader(version=3, alignment=32, metadata=metadata, tensors=(), data_offset=0, file_bytes=file_bytes)


def settings(*, memory_bytes: int = 64 * GIB, task: Task = Task.CHAT, **more: Any) -> EngineSettings:
    model = DetectedModel(Artifact(format=Format.GGUF, task=task), root=Path("/m"), weights=(Path("/m/x.gguf"),))
    return EngineSettings(model=model, name="m", task=task, threads=2, memory_bytes=memory_bytes, **more)


def test_the_cache_of_a_token_is_reckoned_from_the_header() -> None:
    assert kv_bytes_per_token(a_header()) == 32 * 8 * (128 + 128) * 2
    longer_keys = {"llama.attention.key_length": 192, "llama.attention.value_length": 64}
    assert kv_bytes_per_token(a_header(**longer_keys)) == 32 * 8 * (192 + 64) * 2


def test_where_there_is_memory_a_sequence_has_8192_tokens() -> None:
    assert plan_llamacpp(settings(), a_header()).context_length == 8192


def test_a_model_with_less_keeps_its_own_length() -> None:
    assert plan_llamacpp(settings(), a_header(context_length=2048)).context_length == 2048


def test_no_memory_is_allotted_beyond_the_models_own_length() -> None:
    plan = plan_llamacpp(settings(context_length=100_000), a_header(context_length=2048))
    assert plan.context_length == 2048


def test_a_quarter_of_what_the_weights_leave_bounds_the_default() -> None:
    # (9 - 5) GiB / 4 / (128 KiB x 4 sequences)
    assert plan_llamacpp(settings(memory_bytes=9 * GIB), a_header()).context_length == 2048
    assert plan_llamacpp(settings(memory_bytes=5 * GIB), a_header()).context_length == 512


def test_all_files_of_a_split_model_count_against_the_memory() -> None:
    whole = Artifact(format=Format.GGUF, task=Task.CHAT, size_bytes=7 * GIB)
    split = settings(memory_bytes=9 * GIB)
    split = replace(split, model=replace(split.model, artifact=whole))
    # (9 - 7) GiB / 4 / (128 KiB x 4 sequences)
    assert plan_llamacpp(split, a_header(file_bytes=3 * GIB)).context_length == 1024


def test_beside_adapters_no_prompts_are_kept() -> None:
    assert plan_llamacpp(settings(), a_header()).prompt_cache_mib > 0
    assert plan_llamacpp(settings(adapters={"sql": Path("/a.gguf")}), a_header()).prompt_cache_mib == 0


def test_adapters_of_a_model_that_writes_nothing_are_refused() -> None:
    with pytest.raises(LoadFailed, match="adapters are for models that write text"):
        plan_llamacpp(settings(task=Task.EMBEDDING, adapters={"sql": Path("/a.gguf")}), a_header())


def test_what_was_asked_for_is_not_bounded() -> None:
    plan = plan_llamacpp(settings(memory_bytes=6 * GIB, context_length=32_768, parallel_sequences=16), a_header())
    assert (plan.context_length, plan.sequences) == (32_768, 16)


def test_a_length_between_the_steps_of_llamacpp_is_the_next_step() -> None:
    assert plan_llamacpp(settings(context_length=1000), a_header()).context_length == 1024


def test_a_header_that_says_nothing_gets_the_default() -> None:
    silent = a_header(**{"llama.block_count": 0})
    assert plan_llamacpp(settings(memory_bytes=1), silent).context_length == 8192


def test_an_embeddings_text_fits_into_one_step() -> None:
    plan = plan_llamacpp(settings(task=Task.EMBEDDING), a_header())
    assert plan.batch_tokens == plan.context_length


def test_finished_prompts_are_kept_in_a_small_part_of_the_memory() -> None:
    assert plan_llamacpp(settings(memory_bytes=8 * GIB), a_header()).prompt_cache_mib == 512
    assert plan_llamacpp(settings(memory_bytes=999 * GIB), a_header()).prompt_cache_mib == 1024


def test_engine_arguments_win() -> None:
    args = {"threads": "7", "batch-size": "64", "n-gpu-layers": "-1", "cache-type-k": "q8_0", "flash-attn": "off"}
    plan = plan_llamacpp(settings(args=args), a_header())
    assert (plan.threads, plan.batch_tokens, plan.gpu_layers) == (7, 64, -1)
    assert plan.choices == {"cache-type-k": "q8_0", "flash-attn": "off"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"port": "80"}, "may be one of batch-size"),
        ({"threads": "many"}, "threads=many can't be"),
        ({"threads": "0"}, "at least 1"),
        ({"flash-attn": "maybe"}, "on, off or auto"),
        ({"cache-type-k": "q3"}, "cache-type-k=q3 can't be"),
    ],
)
def test_engine_arguments_that_can_not_be_are_named(args: dict[str, str], said: str) -> None:
    with pytest.raises(LoadFailed, match=said):
        plan_llamacpp(settings(args=args), a_header())


def test_a_draft_model_takes_its_part_of_the_memory() -> None:
    small = a_header(file_bytes=GIB, **{"llama.block_count": 8})
    # (9 - 5 - 1) GiB / 4 / (160 KiB x 4 sequences)
    plan = plan_llamacpp(settings(memory_bytes=9 * GIB), a_header(), small)
    assert plan.context_length == 1280
    assert plan.context_length < plan_llamacpp(settings(memory_bytes=9 * GIB), a_header()).context_length


def test_a_model_of_vectors_has_no_use_for_a_draft_model() -> None:
    with pytest.raises(LoadFailed, match="the task of this one is Embedding"):
        plan_llamacpp(settings(task=Task.EMBEDDING), a_header(), a_header())
