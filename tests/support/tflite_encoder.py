"""Writes encoders of texts as TFLite files: BERT with weights of any size, and one of a table alone.

BERT is written as converters write it: one fixed length, or any, where the positions of the tokens are an input too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from tflite_builders import OPERATORS, Graph, softmax_options

Weights = Mapping[str, NDArray[np.float32]]
ANY = -1


class _BertGraph:
    """The operators of one encoder, as the weights' names tell of it."""

    def __init__(self, weights: Weights, heads: int, length: int, epsilon: float) -> None:
        self.graph = Graph()
        self._weights = weights
        self._hidden = len(weights["embeddings.LayerNorm.weight"])
        self._heads = heads
        self._length = length
        self._epsilon = epsilon
        self._shared: dict[bytes, int] = {}

    def input(self, name: str, kind: str) -> int:
        """An input for one text."""
        return self._tensor(f"serving_default_{name}:0", (1, self._length), kind)

    def embeddings(self, ids: int, *, types: int | None, positions: int | None) -> int:
        """The sum of what is known of each token, normalised."""
        words = self._rows("word_embeddings", ids)
        table = self._weights["embeddings.token_type_embeddings.weight"]
        typed = self._rows("token_type_embeddings", types) if types is not None else self._constant(table[:1])
        if positions is None:
            table = self._weights["embeddings.position_embeddings.weight"]
            placed = self._constant(table[np.newaxis, : self._length])
        else:
            placed = self._rows("position_embeddings", positions)
        return self._norm("embeddings.LayerNorm", self._add(self._add(words, typed), placed))

    def masking(self, mask: int) -> int:
        """What is added to scores: nothing for a token, a great negative number for padding."""
        floats = self._unary(OPERATORS.CAST, mask, (1, self._length))
        shaped = self._reshape(floats, (1, 1, 1, self._length))
        missing = self._binary(OPERATORS.SUB, self._scalar(1.0), shaped, (1, 1, 1, self._length), schema.SubOptionsT())
        return self._multiply(missing, self._scalar(-1e9), (1, 1, 1, self._length))

    def layer(self, number: int, hidden: int, mask: int) -> int:
        """One layer: attention, then two matrices with GELU between."""
        name, heads, length = f"encoder.layer.{number}", self._heads, self._length
        size = self._hidden // heads
        parts = (self._matrix(f"{name}.attention.self.{part}", hidden) for part in ("query", "key", "value"))
        query, keys, values = (self._transposed(self._reshape(each, (1, length, heads, size))) for each in parts)
        scores = self._product(query, keys, (1, heads, length, length), transposed=True)
        scaled = self._multiply(scores, self._scalar(size**-0.5), (1, heads, length, length))
        masked = self._add(scaled, mask, (1, heads, length, length))
        shares = self._tensor("shares", (1, heads, length, length))
        self.graph.operator(OPERATORS.SOFTMAX, [masked], [shares], softmax_options())
        mixed = self._transposed(self._product(shares, values, (1, heads, length, size)), (1, length, heads, size))
        joined = self._reshape(mixed, (1, length, self._hidden))
        said = self._matrix(f"{name}.attention.output.dense", joined)
        hidden = self._norm(f"{name}.attention.output.LayerNorm", self._add(hidden, said))
        inner = self._matrix(f"{name}.intermediate.dense", hidden)
        width = len(self._weights[f"{name}.intermediate.dense.bias"])
        curved = self._unary(OPERATORS.GELU, inner, (1, length, width), schema.GeluOptionsT())
        return self._norm(f"{name}.output.LayerNorm", self._add(hidden, self._matrix(f"{name}.output.dense", curved)))

    def _matrix(self, name: str, source: int) -> int:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        target = self._tensor(name, (1, self._length, len(bias)))
        inputs = [source, self._constant(weight), self._constant(bias)]
        self.graph.operator(OPERATORS.FULLY_CONNECTED, inputs, [target], options)
        return target

    def _norm(self, name: str, source: int) -> int:
        shape, narrow = (1, self._length, self._hidden), (1, self._length, 1)
        mean = self._mean(source)
        spread = self._mean(self._binary(OPERATORS.SQUARED_DIFFERENCE, source, mean, shape))
        root = self._unary(OPERATORS.RSQRT, self._add(spread, self._scalar(self._epsilon), narrow), narrow)
        centred = self._binary(OPERATORS.SUB, source, mean, shape, schema.SubOptionsT())
        scaled = self._multiply(self._multiply(centred, root), self._constant(self._weights[f"{name}.weight"]))
        return self._add(scaled, self._constant(self._weights[f"{name}.bias"]))

    def _mean(self, source: int) -> int:
        options = schema.ReducerOptionsT()
        options.keepDims = True
        target = self._tensor("mean", (1, self._length, 1))
        self.graph.operator(OPERATORS.MEAN, [source, self._constant(np.array([2], np.int32))], [target], options)
        return target

    def _product(self, first: int, second: int, shape: Sequence[int], *, transposed: bool = False) -> int:
        options = schema.BatchMatMulOptionsT()
        options.adjY = transposed
        return self._binary(OPERATORS.BATCH_MATMUL, first, second, shape, options)

    def _rows(self, name: str, indices: int) -> int:
        table = self._constant(self._weights[f"embeddings.{name}.weight"])
        target = self._tensor(name, (1, self._length, self._hidden))
        self.graph.operator(OPERATORS.GATHER, [table, indices], [target], schema.GatherOptionsT())
        return target

    def _transposed(self, source: int, shape: Sequence[int] | None = None) -> int:
        """With heads and tokens changed for one another."""
        order = self._constant(np.array([0, 2, 1, 3], np.int32))
        shape = shape or (1, self._heads, self._length, self._hidden // self._heads)
        return self._binary(OPERATORS.TRANSPOSE, source, order, shape, schema.TransposeOptionsT())

    def _reshape(self, source: int, shape: Sequence[int]) -> int:
        return self._binary(OPERATORS.RESHAPE, source, self._constant(np.array(shape, np.int32)), shape)

    def _add(self, first: int, second: int, shape: Sequence[int] | None = None) -> int:
        return self._binary(OPERATORS.ADD, first, second, shape, schema.AddOptionsT())

    def _multiply(self, first: int, second: int, shape: Sequence[int] | None = None) -> int:
        return self._binary(OPERATORS.MUL, first, second, shape, schema.MulOptionsT())

    def _binary(
        self, code: int, first: int, second: int, shape: Sequence[int] | None = None, options: Any = None
    ) -> int:
        target = self._tensor("computed", shape or (1, self._length, self._hidden))
        self.graph.operator(code, [first, second], [target], options)
        return target

    def _unary(self, code: int, source: int, shape: Sequence[int], options: Any = None) -> int:
        target = self._tensor("computed", shape)
        self.graph.operator(code, [source], [target], options)
        return target

    def _tensor(self, name: str, shape: Sequence[int], kind: str = "float32") -> int:
        return _place(self.graph, name, shape, kind)

    def _scalar(self, value: float) -> int:
        return self._constant(np.array([value], np.float32))

    def _constant(self, values: NDArray[Any]) -> int:
        content = np.ascontiguousarray(values)
        key = content.dtype.char.encode() + repr(content.shape).encode() + content.tobytes()
        if key not in self._shared:
            self._shared[key] = self.graph.constant("constant", content)
        return self._shared[key]


def bert_tflite(
    weights: Weights,
    *,
    layers: int,
    heads: int,
    length: int = ANY,
    kind: str = "int64",
    epsilon: float = 1e-12,
) -> bytes:
    """The vectors of the tokens; for texts of one length with their types, for those of any length with positions."""
    bert = _BertGraph(weights, heads, length, epsilon)
    more = "position_ids" if length == ANY else "token_type_ids"
    names = ("attention_mask", "input_ids", more)
    mask, ids, last = (bert.input(name, kind) for name in names)
    placed = {"positions": last, "types": None} if length == ANY else {"positions": None, "types": last}
    hidden = bert.embeddings(ids, **placed)
    added = bert.masking(mask)
    for number in range(layers):
        hidden = bert.layer(number, hidden, added)
    inputs = (mask, ids, last)
    called = {**dict(zip(inputs, names, strict=True)), hidden: "last_hidden_state"}
    return bert.graph.build(inputs, [hidden], signature="serving_default", names=called)


def table_tflite(
    table: NDArray[np.float32],
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    length: int = ANY,
    kind: str = "int32",
    pools: bool = False,
    output: str = "output_0",
    scale: float | None = None,
) -> bytes:
    """The vectors of the tokens are the rows of a table; with `pools` the text's is the mean of those of its tokens.

    `inputs` are in the graph's order. With a `scale`, the output is quantised to int8.
    """
    graph = Graph()
    width = table.shape[1]
    sizes = (1, length)
    places = [_place(graph, f"serving_default_{name}:0", sizes, kind) for name in inputs]
    rows = _place(graph, "rows", (*sizes, width))
    ids = places[inputs.index("input_ids")]
    graph.operator(OPERATORS.GATHER, [graph.constant("table", table), ids], [rows], schema.GatherOptionsT())
    said = rows
    shape: tuple[int, ...] = (*sizes, width)
    if pools:
        said, shape = _mean(graph, rows, places[inputs.index("attention_mask")], (*sizes, width)), (1, width)
    if scale is not None:
        quantised = graph.tensor("quantised", [abs(size) for size in shape], "int8", scale=scale, signature=shape)
        graph.operator(OPERATORS.QUANTIZE, [said], [quantised], schema.QuantizeOptionsT())
        said = quantised
    called = {**dict(zip(places, inputs, strict=True)), said: output}
    return graph.build(places, [said], signature="serving_default", names=called)


def _mean(graph: Graph, rows: int, mask: int, sizes: Sequence[int]) -> int:
    """The mean over the tokens of the mask: a product of the mask as a row, divided by its sum."""
    one, length, width = sizes
    floats, row = _place(graph, "floats", (one, length)), _place(graph, "row", (one, 1, length))
    graph.operator(OPERATORS.CAST, [mask], [floats])
    form = graph.constant("form", np.array([1, 1, -1], np.int32))
    graph.operator(OPERATORS.RESHAPE, [floats, form], [row])
    total, flat = _place(graph, "total", (one, 1, width)), _place(graph, "flat", (one, width))
    graph.operator(OPERATORS.BATCH_MATMUL, [row, rows], [total], schema.BatchMatMulOptionsT())
    graph.operator(OPERATORS.RESHAPE, [total, graph.constant("form", np.array([1, width], np.int32))], [flat])
    options = schema.ReducerOptionsT()
    options.keepDims = True
    count, mean = _place(graph, "count", (one, 1)), _place(graph, "mean", (one, width))
    graph.operator(OPERATORS.SUM, [floats, graph.constant("axis", np.array([1], np.int32))], [count], options)
    graph.operator(OPERATORS.DIV, [flat, count], [mean], schema.DivOptionsT())
    return mean


def _place(graph: Graph, name: str, shape: Sequence[int], kind: str = "float32") -> int:
    """A tensor; a size that may differ is written as converters do: 1, and -1 in the signature."""
    signature = shape if ANY in shape else None
    return graph.tensor(name, [abs(size) for size in shape], kind, signature=signature)
