"""An ONNX graph of a Llama, laid out as the model builder of onnxruntime-genai lays them out, from any `Source`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from llama_weights import BLOCK, Array, Packed, Source
from onnx import TensorProto, helper, numpy_helper

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

    def linear(self, name: str, source: str, packed: Packed | Array, accuracy: int) -> str:
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
