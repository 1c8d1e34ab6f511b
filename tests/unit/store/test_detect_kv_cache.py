"""What a token takes in the KV cache, from the configurations of real families."""

from typing import Any

import pytest

from berth_store.detect.kv_cache import kv_bytes_per_token

SMOLLM2 = {"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}
QWEN3_8B = {"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
GEMMA3 = {
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "sliding_window": 1024,
    "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
}
DEEPSEEK = {"num_hidden_layers": 61, "num_attention_heads": 128, "kv_lora_rank": 512, "qk_rope_head_dim": 64}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (SMOLLM2, 30 * 2 * 3 * 64 * 2),
        ({**QWEN3_8B, "hidden_size": 4096, "sliding_window": None}, 36 * 2 * 8 * 128 * 2),
        ({**QWEN3_8B, "sliding_window": 4096, "use_sliding_window": False}, 36 * 2 * 8 * 128 * 2),
        ({"text_config": QWEN3_8B, "num_hidden_layers": 1}, 36 * 2 * 8 * 128 * 2),
        (GEMMA3, 1 * 2 * 4 * 256 * 2),
        (DEEPSEEK, 61 * (512 + 64) * 2),
        ({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}, 2 * 2 * 4 * 8 * 2),
    ],
)
def test_a_token_takes_a_key_and_a_value_of_each_head_and_layer(config: dict[str, Any], found: int) -> None:
    assert kv_bytes_per_token(config) == found


@pytest.mark.parametrize(
    "config",
    [
        {},
        {**QWEN3_8B, "num_hidden_layers": "many"},
        {**QWEN3_8B, "num_hidden_layers": 1 << 20},
        {**QWEN3_8B, "head_dim": None},
        {**QWEN3_8B, "sliding_window": 4096},
        {**QWEN3_8B, "hybrid_override_pattern": "M-M*"},
        {**QWEN3_8B, "layer_types": ["linear_attention"] * 36},
        {**QWEN3_8B, "layer_types": [{}, 1]},
    ],
)
def test_what_is_not_clear_stays_open(config: dict[str, Any]) -> None:
    assert kv_bytes_per_token(config) is None
