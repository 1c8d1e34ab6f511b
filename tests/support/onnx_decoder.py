"""SmolLM2 as an ONNX language model, made of its GGUF file: the graph, its tokenizer and its settings in one folder.

It takes a second or two, and 100 MB; `smollm2_onnx` keeps the folder for the next run.
"""

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tokenizers
import tools
from llama_graph import build_graph
from llama_weights import Weights

from berth_store.headers.gguf import read_gguf
from berth_store.headers.gguf_header import GgufHeader

# Counted up where what is written here or in the two modules changes, so that no old folder is taken.
VERSION = 2
CACHE = tools.REPOSITORY / "build/cache"
DATA_NAME = "model.onnx.data"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_CONTROL = 3


def smollm2_onnx() -> Path:
    """The folder with the model, made once for this checkout."""
    folder = CACHE / f"smollm2-onnx-{VERSION}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=CACHE))
        write_smollm2(made)
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(made)
    return folder


def write_smollm2(folder: Path) -> Path:
    """Write the model, its tokenizer and its settings."""
    source = tools.find("smollm2")
    assert source is not None, tools.why_missing("smollm2")
    weights = Weights(source)
    onnx.save_model(
        build_graph(weights),
        folder / "model.onnx",
        save_as_external_data=True,
        location=DATA_NAME,
        size_threshold=1024,
    )
    metadata = read_metadata(source)
    build_tokenizer(metadata).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(metadata)))
    (folder / "genai_config.json").write_text(json.dumps(genai_config(weights.header), indent=4))
    os.chmod(folder, 0o755)
    return folder


def genai_config(header: GgufHeader) -> dict[str, Any]:
    """The settings as the builder writes them."""
    known = header.metadata
    context = known["llama.context_length"]
    return {
        "model": {
            "bos_token_id": known["tokenizer.ggml.bos_token_id"],
            "context_length": context,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": "model.onnx",
                "head_size": known["llama.rope.dimension_count"],
                "hidden_size": known["llama.embedding_length"],
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
                "num_attention_heads": known["llama.attention.head_count"],
                "num_hidden_layers": known["llama.block_count"],
                "num_key_value_heads": known["llama.attention.head_count_kv"],
            },
            "eos_token_id": known["tokenizer.ggml.eos_token_id"],
            "pad_token_id": known["tokenizer.ggml.padding_token_id"],
            "type": "llama",
            "vocab_size": known["llama.vocab_size"],
        },
        "search": {
            "do_sample": False,
            "max_length": context,
            "past_present_share_buffer": True,
            "temperature": 1.0,
            "top_k": 1,
            "top_p": 1.0,
        },
    }


def build_tokenizer(metadata: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """The tokenizer in its fast form, from the vocabulary that GGUF has."""
    words = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(each.split(" ", 1)) for each in metadata["tokenizer.ggml.merges"]]
    model = tokenizers.models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=merges)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens([word for word, kind in zip(words, kinds, strict=True) if kind == _CONTROL])
    return tokenizer


def tokenizer_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What lies beside a tokenizer: the marks, and the chat template."""
    words = metadata["tokenizer.ggml.tokens"]
    return {
        "bos_token": words[metadata["tokenizer.ggml.bos_token_id"]],
        "eos_token": words[metadata["tokenizer.ggml.eos_token_id"]],
        "chat_template": metadata["tokenizer.chat_template"],
    }


def read_metadata(path: Path) -> dict[str, Any]:
    """All of a GGUF's pairs, with the long arrays that Berth's own reader passes over."""
    content = path.read_bytes()[: read_gguf(path).data_offset]
    at = 8

    def scalar(code: str) -> Any:
        nonlocal at
        (found,) = struct.unpack_from(f"<{code}", content, at)
        at += struct.calcsize(f"<{code}")
        return found

    def value(kind: int) -> Any:
        nonlocal at
        if kind == _STRING:
            length = scalar("Q")
            at += length
            return content[at - length : at].decode()
        if kind == _ARRAY:
            of, count = scalar("I"), scalar("Q")
            return [value(of) for _ in range(count)]
        return scalar(_SCALARS[kind])

    _, pairs = scalar("Q"), scalar("Q")
    return {value(_STRING): value(scalar("I")) for _ in range(pairs)}
