"""The ONNX graph of a BERT-type encoder: embeddings, layers, and what its task puts on top. Pure.

The arithmetic is that of "Attention Is All You Need" (Vaswani 2017) as "BERT" (Devlin 2018) uses it: LayerNorm after
each residual, absolute positions, padding masked by a large negative number before the softmax. Called by
`berth_store.convert.encoder` and `served`; what stands on top is in `encoder_heads`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from berth_store.convert.encoder_config import Activation, EncoderConfig, Positions, TensorNames
from berth_store.convert.onnx_graph import GraphWriter
from berth_store.convert.onnx_messages import ElementType, Pieces
from berth_store.convert.tensors import Weight

# Added to the score of padding. In float32 its exponential is 0 beside any real score, and sums stay finite.
MASKED_SCORE = -1e9


class Weights(Protocol):
    """The tensors of an encoder by their names without prefix: see `berth_store.convert.tensors`."""

    def __contains__(self, name: str) -> bool: ...

    def add(self, graph: GraphWriter, name: str, shape: Sequence[int | None], *, transposed: bool = False) -> Weight:
        """Make the tensor, of this shape (None is any size), a float32 value of the graph."""
        ...

    def multiply(self, graph: GraphWriter, value: str, name: str, sizes: Sequence[int | None]) -> Weight:
        """`value` times the matrix of (out, in) `sizes`: the product in float32, and the shape of the matrix."""
        ...


@dataclass(frozen=True)
class Encoder:
    """What each part of the graph needs to hand."""

    config: EncoderConfig
    weights: Weights
    graph: GraphWriter

    @property
    def names(self) -> TensorNames:
        """The names of the family's tensors."""
        return self.config.family.names

    def linear(self, value: str, name: str, sizes: tuple[int | None, int | None]) -> str:
        """`value` times a weight of (out, in) `sizes`, plus its bias."""
        return self.sized_linear(value, name, sizes)[0]

    def sized_linear(self, value: str, name: str, sizes: tuple[int | None, int | None]) -> tuple[str, int]:
        """The same, with the size that came out."""
        product = self.weights.multiply(self.graph, value, f"{name}.weight", sizes)
        size = product.shape[0]
        bias = self.weights.add(self.graph, f"{name}.bias", (size,))
        return self.graph.op("Add", product.value, bias.value), size

    def norm(self, value: str, name: str) -> str:
        """LayerNorm over the hidden dimension."""
        shape = (self.config.hidden_size,)
        inputs = [self.weights.add(self.graph, f"{name}.{part}", shape).value for part in ("weight", "bias")]
        return self.graph.op("LayerNormalization", value, *inputs, axis=-1, epsilon=self.config.norm_epsilon)

    def table(self, name: str, rows: int | None = None) -> str:
        """An embedding table."""
        return self.weights.add(self.graph, name, (rows, self.config.hidden_size)).value


@dataclass(frozen=True)
class Hidden:
    """What the layers end with: a vector for each token, and the mask (1.0 is a token, 0.0 padding)."""

    vectors: str
    mask: str


Head = Callable[[Encoder, Hidden], None]
"""Declares the graph's outputs."""


def build_encoder_graph(config: EncoderConfig, weights: Weights, head: Head) -> Pieces:
    """The whole model, as the pieces of its file.

    Inputs are int64 (batch, sequence): `input_ids`, `attention_mask`, and `token_type_ids` where the encoder has them.
    """
    graph = GraphWriter()
    encoder = Encoder(config, weights, graph)
    ids = graph.input("input_ids", ("batch", "sequence"))
    attention = graph.input("attention_mask", ("batch", "sequence"))
    mask = graph.op("Cast", attention, to=ElementType.FLOAT)
    vectors = _embeddings(encoder, ids)
    scores_mask = _scores_mask(graph, mask)
    for index in range(config.layers):
        vectors = _layer(encoder, config.family.names.layer.format(index), vectors, scores_mask)
    head(encoder, Hidden(vectors, mask))
    return graph.model("encoder")


def _embeddings(encoder: Encoder, ids: str) -> str:
    graph, names = encoder.graph, encoder.names
    words = graph.op("Gather", encoder.table(names.words), ids)
    value = graph.op("Add", words, _positions(encoder, ids))
    if names.types in encoder.weights:
        types = graph.input("token_type_ids", ("batch", "sequence"))
        value = graph.op("Add", value, graph.op("Gather", encoder.table(names.types), types))
    return encoder.norm(value, names.embedding_norm)


def _positions(encoder: Encoder, ids: str) -> str:
    graph, table = encoder.graph, encoder.table(encoder.names.positions, encoder.config.positions)
    if encoder.config.family.positions is Positions.FROM_ZERO:
        length = graph.op("Shape", ids, start=1, end=2)
        return graph.op("Slice", table, graph.integers(0), length, graph.integers(0))
    padding_id = graph.integers(encoder.config.padding_id)
    real = graph.op("Cast", graph.op("Not", graph.op("Equal", ids, padding_id)), to=ElementType.INT64)
    counted = graph.op("Mul", graph.op("CumSum", real, graph.integers(1)), real)
    return graph.op("Gather", table, graph.op("Add", counted, padding_id))


def _scores_mask(graph: GraphWriter, mask: str) -> str:
    padding = graph.op("Sub", graph.number(1.0), graph.op("Unsqueeze", mask, graph.integers(1, 2)))
    return graph.op("Mul", padding, graph.number(MASKED_SCORE))


def _layer(encoder: Encoder, layer: str, hidden: str, scores_mask: str) -> str:
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


def _attention(encoder: Encoder, layer: str, hidden: str, scores_mask: str) -> str:
    graph, names, config = encoder.graph, encoder.names, encoder.config
    head_size = config.hidden_size // config.heads
    split = graph.integers(0, 0, config.heads, head_size)

    def heads(name: str, order: tuple[int, ...]) -> str:
        projected = encoder.linear(hidden, layer + name, (config.hidden_size, config.hidden_size))
        return graph.op("Transpose", graph.op("Reshape", projected, split), perm=order)

    query, key, value = (
        heads(names.query, (0, 2, 1, 3)),
        heads(names.key, (0, 2, 3, 1)),
        heads(names.value, (0, 2, 1, 3)),
    )
    scores = graph.op("Div", graph.op("MatMul", query, key), graph.number(math.sqrt(head_size)))
    shares = graph.op("Softmax", graph.op("Add", scores, scores_mask), axis=-1)
    context = graph.op("Transpose", graph.op("MatMul", shares, value), perm=(0, 2, 1, 3))
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
