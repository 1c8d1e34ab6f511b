"""SmolLM2 as an ONNX graph, laid out as the model builder of onnxruntime-genai lays out Llamas, from its GGUF file.

What the file has in 4 bits is in 4 bits here too (`MatMulNBits`), but counted from another zero, for which it is
rounded a second time; the embedding, which is the last layer too, is as it was, in 8. It takes a second or two, and
100 MB; `smollm2_onnx` keeps the folder for the next run.
"""

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import tokenizers
import tools
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from berth_store.headers.gguf import read_gguf
from berth_store.headers.gguf_header import GgufHeader, GgufTensor

Array = NDArray[Any]

# Counted up where what is written here changes, so that no old folder is taken.
VERSION = 2
CACHE = tools.REPOSITORY / "build/cache"
BLOCK = 32
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


class Source(Protocol):
    """Weights by GGUF's names, as the operators want them; `accuracy` is how exactly packed ones are to be computed."""

    accuracy: int

    def count(self, key: str) -> int:
        """A number of the header, without the architecture's name before it."""
        ...

    def number(self, key: str) -> float:
        """The same for one with a fraction."""
        ...

    def plain(self, name: str) -> "Array":
        """A tensor of float32."""
        ...

    def matrix(self, name: str, *, rotated_heads: int = 0) -> "Packed | Array":
        """A matrix, packed or `[rows, columns]`."""
        ...

    def table(self) -> "Packed":
        """The embedding, in 8 bits."""
        ...


class Weights:
    """The tensors of SmolLM2's GGUF file."""

    accuracy = 4

    def __init__(self, path: Path) -> None:
        self.header = read_gguf(path)
        self._content = np.memmap(path, np.uint8, "r")
        self._tensors = {tensor.name: tensor for tensor in self.header.tensors}

    def count(self, key: str) -> int:
        """A number of the header, without the architecture's name before it."""
        return int(self.header.metadata[f"llama.{key}"])  # type: ignore[arg-type]

    def number(self, key: str) -> float:
        """The same for one with a fraction."""
        return float(self.header.metadata[f"llama.{key}"])  # type: ignore[arg-type]

    def plain(self, name: str) -> Array:
        """A tensor of float32."""
        return self._bytes(name).view("<f4")

    def matrix(self, name: str, *, rotated_heads: int = 0) -> "Packed":
        """A matrix of Q4_1: each block of 32 has a scale, a smallest value and 32 numbers of 4 bits.

        GGUF keeps the rows of a head that is rotated in pairs, the builder in halves.
        """
        tensor = self._tensors[name]
        width, rows = tensor.shape
        blocks = self._bytes(name).reshape(rows, width // BLOCK, 20)
        if rotated_heads:
            blocks = blocks.reshape(rotated_heads, -1, 2, *blocks.shape[1:]).swapaxes(1, 2).reshape(blocks.shape)
        scales, least = (blocks[..., at : at + 2].copy().view("<f2").astype("<f4") for at in (0, 2))
        return pack(scales * np.concatenate([blocks[..., 4:] & 15, blocks[..., 4:] >> 4], axis=-1) + least)

    def table(self) -> "Packed":
        """A matrix of Q8_0: each block of 32 has a scale and 32 numbers of 8 bits, here from 0 on."""
        width, rows = self._tensors["token_embd.weight"].shape
        blocks = self._bytes("token_embd.weight").reshape(rows, width // BLOCK, 34)
        scales = blocks[..., :2].copy().view("<f2")[..., 0].astype("<f4")
        return Packed(blocks[..., 2:] ^ 0x80, scales, None, 8)

    def _bytes(self, name: str) -> Array:
        tensor: GgufTensor = self._tensors[name]
        start = self.header.data_offset + tensor.offset
        return np.array(self._content[start : start + tensor.length_bytes])


@dataclass(frozen=True)
class Packed:
    """Numbers in blocks, `[rows, blocks, bytes]`, with what makes weights of them; without `zeros`, the middle."""

    numbers: Array
    scales: Array
    zeros: Array | None
    bits: int


def pack(values: Array) -> Packed:
    """Blocks of weights in 4 bits, `[rows, blocks, 32]`: each with a scale, and the number that stands for zero."""
    least = np.minimum(values.min(axis=-1, keepdims=True), 0)
    scales = np.maximum((np.maximum(values.max(axis=-1, keepdims=True), 0) - least) / 15, 1e-8).astype("<f4")
    zeros = np.rint(-least / scales)
    numbers = np.clip(np.rint(values / scales) + zeros, 0, 15).astype(np.uint8)
    return Packed(_pairs(numbers), scales[..., 0], _pairs(zeros[..., 0].astype(np.uint8)), 4)


def _pairs(numbers: Array) -> Array:
    """Two numbers a byte, the first one below; the last alone if there is an odd one."""
    even = np.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(0, numbers.shape[-1] % 2)])
    pairs: Array = even[..., 0::2] | even[..., 1::2] << 4
    return pairs


class _Graph:
    """Nodes and weights as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str, outputs: tuple[str, ...] = (), **attributes: Any) -> str:
        """A node; its operator is the library's own where no standard has it."""
        domain = "" if kind in _STANDARD else "com.microsoft"
        self.nodes.append(helper.make_node(kind, inputs, outputs or (output,), output, domain=domain, **attributes))
        return output

    def weight(self, name: str, values: Array) -> str:
        """A weight by its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def linear(self, name: str, source: str, packed: "Packed | Array", accuracy: int) -> str:
        """A matrix."""
        if not isinstance(packed, Packed):
            return self.add("MatMul", source, self.weight(f"{name}.weight", packed.T), output=name)
        rows, blocks, _ = packed.numbers.shape
        parts = [self.weight(f"{name}.weight", packed.numbers), self.weight(f"{name}.scales", packed.scales)]
        if packed.zeros is not None:
            parts.append(self.weight(f"{name}.zeros", packed.zeros))
        return self.add(
            "MatMulNBits",
            source,
            *parts,
            output=name,
            K=blocks * BLOCK,
            N=rows,
            bits=packed.bits,
            block_size=BLOCK,
            accuracy_level=accuracy,
        )


_STANDARD = frozenset(
    {
        "Cast",
        "Gather",
        "MatMul",
        "Mul",
        "ReduceSum",
        "Reshape",
        "Shape",
        "Sigmoid",
        "Sub",
        "SimplifiedLayerNormalization",
    }
)


def build_graph(weights: Source) -> onnx.ModelProto:
    """The whole model."""
    graph = _Graph()
    layers, heads, kv_heads = (
        weights.count(key) for key in ("block_count", "attention.head_count", "attention.head_count_kv")
    )
    width, head_size = weights.count("embedding_length"), weights.count("rope.dimension_count")
    epsilon, accuracy = weights.number("attention.layer_norm_rms_epsilon"), weights.accuracy
    table = weights.table()
    _mask_parts(graph)
    _rotation(graph, weights, head_size)
    hidden = _embedding(graph, table, width)
    normed = graph.add(
        "SimplifiedLayerNormalization",
        hidden,
        graph.weight("norm.first", weights.plain("blk.0.attn_norm.weight")),
        output="first",
        epsilon=epsilon,
        axis=-1,
        stash_type=1,
    )
    for layer in range(layers):
        at, block = f"layer.{layer}", f"blk.{layer}"
        query = graph.linear(f"{at}.q", normed, weights.matrix(f"{block}.attn_q.weight", rotated_heads=heads), accuracy)
        key = graph.linear(
            f"{at}.k", normed, weights.matrix(f"{block}.attn_k.weight", rotated_heads=kv_heads), accuracy
        )
        value = graph.linear(f"{at}.v", normed, weights.matrix(f"{block}.attn_v.weight"), accuracy)
        graph.add(
            "GroupQueryAttention",
            query,
            key,
            value,
            f"past_key_values.{layer}.key",
            f"past_key_values.{layer}.value",
            "seqlens_k",
            "total_length",
            "cos",
            "sin",
            output=f"{at}.attention",
            outputs=(f"{at}.attention", f"present.{layer}.key", f"present.{layer}.value"),
            num_heads=heads,
            kv_num_heads=kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
            scale=head_size**-0.5,
        )
        output = graph.linear(f"{at}.o", f"{at}.attention", weights.matrix(f"{block}.attn_output.weight"), accuracy)
        hidden, normed = _skip_norm(
            graph, f"{at}.mid", hidden, output, weights.plain(f"{block}.ffn_norm.weight"), epsilon
        )
        gate = graph.linear(f"{at}.gate", normed, weights.matrix(f"{block}.ffn_gate.weight"), accuracy)
        up = graph.linear(f"{at}.up", normed, weights.matrix(f"{block}.ffn_up.weight"), accuracy)
        active = graph.add("Mul", gate, graph.add("Sigmoid", gate, output=f"{at}.sigmoid"), output=f"{at}.silu")
        inner = graph.add("Mul", active, up, output=f"{at}.inner")
        output = graph.linear(f"{at}.down", inner, weights.matrix(f"{block}.ffn_down.weight"), accuracy)
        after = f"blk.{layer + 1}.attn_norm.weight" if layer + 1 < layers else "output_norm.weight"
        hidden, normed = _skip_norm(graph, f"{at}.end", hidden, output, weights.plain(after), epsilon)
    graph.add(
        "MatMulNBits",
        normed,
        "table",
        "table.scales",
        output="logits",
        K=width,
        N=len(table.numbers),
        bits=8,
        block_size=BLOCK,
        accuracy_level=accuracy,
    )
    return _model(graph, layers=layers, kv_heads=kv_heads, head_size=head_size, vocabulary=len(table.numbers))


def _mask_parts(graph: _Graph) -> None:
    """From the mask, how long each text is with this step, and how long the longest."""
    one = graph.weight("one", np.array([1], np.int64))
    summed = graph.add("ReduceSum", "attention_mask", one, output="mask.sum", keepdims=1)
    graph.add("Cast", graph.add("Sub", summed, one, output="mask.less"), output="seqlens_k", to=TensorProto.INT32)
    shape = graph.add("Shape", "attention_mask", output="mask.shape")
    length = graph.add("Gather", shape, graph.weight("second", np.array(1, np.int64)), output="mask.length", axis=0)
    graph.add("Cast", length, output="total_length", to=TensorProto.INT32)


def _rotation(graph: _Graph, weights: Source, head_size: int) -> None:
    speeds = weights.number("rope.freq_base") ** -(np.arange(0, head_size, 2) / head_size)
    angles = np.outer(np.arange(weights.count("context_length")), speeds)
    graph.weight("cos", np.cos(angles).astype("<f4"))
    graph.weight("sin", np.sin(angles).astype("<f4"))


def _embedding(graph: _Graph, table: Packed, width: int) -> str:
    """The rows of the table that the last layer has too, each block times its scale."""
    rows = graph.add("Gather", graph.weight("table", table.numbers), "input_ids", output="rows", axis=0)
    scales = graph.weight("table.scales", table.scales)
    numbers = graph.add(
        "Sub",
        graph.add("Cast", rows, output="rows.float", to=TensorProto.FLOAT),
        graph.weight("middle", np.array(128, "<f4")),
        output="rows.signed",
    )
    found = graph.add("Gather", scales, "input_ids", output="rows.scales", axis=0)
    shape = graph.weight("blocks", np.array([0, 0, table.scales.shape[1], 1], np.int64))
    found = graph.add("Reshape", found, shape, output="rows.block_scales")
    scaled = graph.add("Mul", numbers, found, output="rows.scaled")
    return graph.add("Reshape", scaled, graph.weight("whole", np.array([0, 0, width], np.int64)), output="embedded")


def _skip_norm(graph: _Graph, name: str, hidden: str, added: str, scale: Array, epsilon: float) -> tuple[str, str]:
    """The sum of both, and the same normalised."""
    graph.add(
        "SkipSimplifiedLayerNormalization",
        hidden,
        added,
        graph.weight(f"{name}.norm", scale),
        output=name,
        outputs=(f"{name}.normed", "", "", f"{name}.sum"),
        epsilon=epsilon,
    )
    return f"{name}.sum", f"{name}.normed"


def _model(graph: _Graph, *, layers: int, kv_heads: int, head_size: int, vocabulary: int) -> onnx.ModelProto:
    def value(name: str, kind: int, *dims: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, dims)

    def cache(name: str, length: str) -> Iterator[onnx.ValueInfoProto]:
        for layer in range(layers):
            for part in ("key", "value"):
                dims = ("batch_size", kv_heads, length, head_size)
                yield value(f"{name}.{layer}.{part}", TensorProto.FLOAT, *dims)

    made = helper.make_graph(
        graph.nodes,
        "main_graph",
        [
            value("input_ids", TensorProto.INT64, "batch_size", "sequence_length"),
            value("attention_mask", TensorProto.INT64, "batch_size", "total_sequence_length"),
            *cache("past_key_values", "past_sequence_length"),
        ],
        [
            value("logits", TensorProto.FLOAT, "batch_size", "sequence_length", vocabulary),
            *cache("present", "total_sequence_length"),
        ],
        graph.weights,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10, producer_name="berth-tests")


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
