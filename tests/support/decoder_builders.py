"""Folders with an ONNX graph that writes text, of a few hundred bytes: headers and settings alone, for detection."""

from typing import Any

from onnx_builders import FLOAT, INT64, WEIGHT, onnx, onnx_graph, onnx_node, onnx_value

VOCABULARY = 320
ATTENTION = onnx_node("GroupQueryAttention", domain="com.microsoft")


def decoder_onnx(
    *,
    layers: int = 2,
    kv_heads: int = 3,
    head_size: int = 64,
    element_type: int = FLOAT,
    positions: bool = False,
    nodes: Any = (ATTENTION,),
    inputs: Any = (),
    names: str = "past_key_values",
    width: int | str = VOCABULARY,
) -> bytes:
    """A decoder's graph as the builder of onnxruntime-genai lays it out; `inputs` are further ones."""

    def cache(name: str) -> list[bytes]:
        dims = ("batch", kv_heads, "length", head_size)
        return [
            onnx_value(f"{name}.{layer}.{part}", dims, element_type)
            for layer in range(layers)
            for part in ("key", "value")
        ]

    tokens = ["input_ids", "attention_mask", *(["position_ids"] if positions else [])]
    graph = onnx_graph(
        nodes=nodes,
        inputs=[*(onnx_value(name, ("batch", "sequence"), INT64) for name in tokens), *cache(names), *inputs],
        outputs=[onnx_value("logits", ("batch", "sequence", width)), *cache("present")],
        initializers=[WEIGHT],
    )
    return onnx(graph, opsets={"": 21, "com.microsoft": 1})


def genai_config(*, decoder: Any = None, search: Any = None, **model: Any) -> dict[str, Any]:
    """Settings as the builder writes them, with changes."""
    return {
        "model": {
            "context_length": 2048,
            "decoder": {"filename": "model.onnx", "num_attention_heads": 9, **(decoder or {})},
            "eos_token_id": [2, 7],
            "type": "llama",
            "vocab_size": VOCABULARY,
            **model,
        },
        "search": {"do_sample": False, "temperature": 0.6, "top_k": 1, **(search or {})},
    }


def decoder_files(**changes: Any) -> dict[str, Any]:
    """The files of a model that chats; a name with None is left out."""
    files = {
        "model.onnx": decoder_onnx(),
        "genai_config.json": genai_config(),
        "tokenizer.json": {},
        "tokenizer_config.json": {
            "eos_token": {"content": "</s>"},
            "bos_token": "<s>",
            "chat_template": "{{ messages }}",
        },
        **changes,
    }
    return {name: content for name, content in files.items() if content is not None}
