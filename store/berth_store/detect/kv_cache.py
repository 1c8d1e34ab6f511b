"""What a token takes in the KV cache, from `config.json`: never more than it really is, or nothing where that is open.

For each layer with full attention: a key and a value for each KV head, 16 bits a number. Layers with a sliding window
or with a state of constant size need no more for a longer text, so they are left out. Models that keep a compressed
latent in place of keys and values (`kv_lora_rank`, DeepSeek's form) keep one vector of it for each layer.
"""

from collections.abc import Mapping

from berth_store.detect.config import count, mapping
from berth_store.headers.bounded_json import Json

BYTES_PER_NUMBER = 2
MAX_LAYERS = 1 << 14
_FULL = "full_attention"
# Which layers attend is said in a form of the family's own.
_MIXED = ("layers_block_type", "attn_layer_period", "hybrid_override_pattern", "attn_layer_indices", "full_attn_idxs")


def kv_bytes_per_token(config: Mapping[str, Json]) -> int | None:
    """Bytes for each token of a sequence, over all layers."""
    part = mapping(config, "text_config") or config
    layers = _full_layers(part)
    if layers is None:
        return None
    latent = count(part, "kv_lora_rank")
    if latent is not None:
        return layers * (latent + (count(part, "qk_rope_head_dim") or 0)) * BYTES_PER_NUMBER
    heads = count(part, "num_attention_heads")
    hidden = count(part, "hidden_size")
    size = count(part, "head_dim") or (hidden // heads if heads and hidden else None)
    kv_heads = count(part, "num_key_value_heads") or heads
    if not size or not kv_heads:
        return None
    return layers * 2 * kv_heads * size * BYTES_PER_NUMBER


def _full_layers(part: Mapping[str, Json]) -> int | None:
    """The layers whose cache grows with the text; None where that can't be told, or none does."""
    layers = count(part, "num_hidden_layers")
    if layers is None or layers > MAX_LAYERS or any(part.get(key) for key in _MIXED):
        return None
    kinds = part.get("layer_types")
    if isinstance(kinds, list):
        return sum(kind == _FULL for kind in kinds[:layers]) or None
    has_window = part.get("sliding_window") is not None and part.get("use_sliding_window") is not False
    return None if has_window else layers
