"""The ONNX graph of a BERT-type encoder: embeddings, layers, and the sentence vector on top. Pure.

The arithmetic is that of "Attention Is All You Need" (Vaswani 2017) as "BERT" (Devlin 2018) uses it: LayerNorm after
each residual, absolute positions, padding masked by a large negative number before the softmax. Called by
`berth_store.convert.encoder`.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from berth_store.convert.encoder_config import Activation, EncoderConfig, Positions, TensorNames
from berth_store.convert.onnx_graph import GraphWriter
from berth_store.detect import Pooling

# The poolings that the graph can do by itself; for another one the engine pools `last_hidden_state`.
POOLINGS = frozenset({Pooling.MEAN, Pooling.CLS})

# Added to the score of padding. In float32 its exponential is 0 beside any real score, and sums stay finite.
MASKED_SCORE = -1e9

# The divisors' floors of sentence-transformers and of torch.nn.functional.normalize.
SMALLEST_COUNT = 1e-9
SMALLEST_NORM = 1e-12


class Weights(Protocol):
    """The tensors of an encoder by their names without prefix: `EncoderTensors`."""

    def __contains__(self, name: str) -> bool: ...

    def read(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        """The tensor as float32, of this shape (None is any size)."""
        ...


@dataclass(frozen=True)
class _Encoder:
    """What each part of the graph needs to hand."""

    config: EncoderConfig
    weights: Weights
    graph: GraphWriter

    @property
    def names(self) -> TensorNames:
        return self.config.family.names

    def linear(self, value: str, name: str, sizes: tuple[int | None, int | None]) -> str:
        """`value` times a weight of (out, in) `sizes`, plus its bias."""
        weight = self.weights.read(f"{name}.weight", sizes)
        bias = self.weights.read(f"{name}.bias", weight.shape[:1])
        # Stored as (out, in), as torch does; MatMul wants (in, out), and transposed here it costs nothing per request.
        product = self.graph.op("MatMul", value, self.graph.weight(f"{name}.weight", weight.T))
        return self.graph.op("Add", product, self.graph.weight(f"{name}.bias", bias))

    def norm(self, value: str, name: str) -> str:
        """LayerNorm over the hidden dimension."""
        parts = [f"{name}.{part}" for part in ("weight", "bias")]
        inputs = [self.graph.weight(part, self.weights.read(part, (self.config.hidden_size,))) for part in parts]
        return self.graph.op("LayerNormalization", value, *inputs, axis=-1, epsilon=self.config.norm_epsilon)

    def table(self, name: str, rows: int | None = None) -> str:
        """An embedding table."""
        return self.graph.weight(name, self.weights.read(name, (rows, self.config.hidden_size)))


def build_encoder_graph(
    config: EncoderConfig, weights: Weights, *, pooling: Pooling | None, normalize: bool
) -> onnx.ModelProto:
    """The whole model: `last_hidden_state`, and `sentence_embedding` where `pooling` is one of `POOLINGS`.

    Inputs are int64 (batch, sequence): `input_ids`, `attention_mask`, and `token_type_ids` where the encoder has them.
    """
    graph = GraphWriter()
    encoder = _Encoder(config, weights, graph)
    ids = graph.input("input_ids", ("batch", "sequence"))
    attention = graph.input("attention_mask", ("batch", "sequence"))
    mask = graph.op("Cast", attention, to=onnx.TensorProto.FLOAT)
    hidden = _embeddings(encoder, ids)
    scores_mask = _scores_mask(graph, mask)
    for index in range(config.layers):
        hidden = _layer(encoder, config.family.names.layer.format(index), hidden, scores_mask)
    graph.output("last_hidden_state", hidden, ("batch", "sequence", config.hidden_size))
    if pooling in POOLINGS:
        vector = _pool(graph, hidden, mask, pooling)
        if normalize:
            vector = _normalize(graph, vector)
        graph.output("sentence_embedding", vector, ("batch", config.hidden_size))
    return graph.model("encoder")


def _embeddings(encoder: _Encoder, ids: str) -> str:
    graph, names = encoder.graph, encoder.names
    words = graph.op("Gather", encoder.table(names.words), ids)
    value = graph.op("Add", words, _positions(encoder, ids))
    if names.types in encoder.weights:
        types = graph.input("token_type_ids", ("batch", "sequence"))
        value = graph.op("Add", value, graph.op("Gather", encoder.table(names.types), types))
    return encoder.norm(value, names.embedding_norm)


def _positions(encoder: _Encoder, ids: str) -> str:
    graph, table = encoder.graph, encoder.table(encoder.names.positions, encoder.config.positions)
    if encoder.config.family.positions is Positions.FROM_ZERO:
        length = graph.op("Shape", ids, start=1, end=2)
        return graph.op("Slice", table, graph.integers(0), length, graph.integers(0))
    padding_id = graph.integers(encoder.config.padding_id)
    real = graph.op("Cast", graph.op("Not", graph.op("Equal", ids, padding_id)), to=onnx.TensorProto.INT64)
    counted = graph.op("Mul", graph.op("CumSum", real, graph.integers(1)), real)
    return graph.op("Gather", table, graph.op("Add", counted, padding_id))


def _scores_mask(graph: GraphWriter, mask: str) -> str:
    padding = graph.op("Sub", graph.number(1.0), graph.op("Unsqueeze", mask, graph.integers(1, 2)))
    return graph.op("Mul", padding, graph.number(MASKED_SCORE))


def _layer(encoder: _Encoder, layer: str, hidden: str, scores_mask: str) -> str:
    graph, names = encoder.graph, encoder.names
    context = _attention(encoder, layer, hidden, scores_mask)
    hidden_size = encoder.config.hidden_size
    attended = encoder.linear(context, layer + names.attention_output, (hidden_size, hidden_size))
    hidden = encoder.norm(graph.op("Add", attended, hidden), layer + names.attention_norm)
    inner = _activate(
        graph, encoder.config.activation, encoder.linear(hidden, layer + names.intermediate, (None, hidden_size))
    )
    outer = encoder.linear(inner, layer + names.output, (hidden_size, None))
    return encoder.norm(graph.op("Add", outer, hidden), layer + names.output_norm)


def _attention(encoder: _Encoder, layer: str, hidden: str, scores_mask: str) -> str:
    graph, names, config = encoder.graph, encoder.names, encoder.config
    head_size = config.hidden_size // config.heads
    split = graph.integers(0, 0, config.heads, head_size)

    def heads(name: str, order: list[int]) -> str:
        projected = encoder.linear(hidden, layer + name, (config.hidden_size, config.hidden_size))
        return graph.op("Transpose", graph.op("Reshape", projected, split), perm=order)

    query, key, value = (
        heads(names.query, [0, 2, 1, 3]),
        heads(names.key, [0, 2, 3, 1]),
        heads(names.value, [0, 2, 1, 3]),
    )
    scores = graph.op("Div", graph.op("MatMul", query, key), graph.number(math.sqrt(head_size)))
    shares = graph.op("Softmax", graph.op("Add", scores, scores_mask), axis=-1)
    context = graph.op("Transpose", graph.op("MatMul", shares, value), perm=[0, 2, 1, 3])
    return graph.op("Reshape", context, graph.integers(0, 0, config.hidden_size))


def _activate(graph: GraphWriter, activation: Activation, value: str) -> str:
    match activation:
        case Activation.GELU:
            return graph.op("Gelu", value)
        case Activation.GELU_TANH:
            return graph.op("Gelu", value, approximate="tanh")
        case Activation.RELU:
            return graph.op("Relu", value)
        case Activation.SILU:
            return graph.op("Mul", value, graph.op("Sigmoid", value))


def _pool(graph: GraphWriter, hidden: str, mask: str, pooling: Pooling) -> str:
    if pooling is Pooling.CLS:
        return graph.op("Gather", hidden, graph.integer(0), axis=1)
    real = graph.op("Unsqueeze", mask, graph.integers(2))
    total = graph.op("ReduceSum", graph.op("Mul", hidden, real), graph.integers(1), keepdims=0)
    count = graph.op("ReduceSum", real, graph.integers(1), keepdims=0)
    return graph.op("Div", total, graph.op("Max", count, graph.number(SMALLEST_COUNT)))


def _normalize(graph: GraphWriter, vector: str) -> str:
    length = graph.op("ReduceL2", vector, graph.integers(1), keepdims=1)
    return graph.op("Div", vector, graph.op("Max", length, graph.number(SMALLEST_NORM)))
