"""A classifier of stripes, trained here in a second: pictures, weights, the same forward pass in numpy, and its files.

Random filters, the mean of what they find, and a matrix that is learned: enough to tell horizontal stripes, vertical
stripes and checks from one another. The quantised file is as a converter makes them: weights and input are of 8 bits.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from tflite_builders import OPERATORS, Graph, metadata, softmax_options

LABELS = ("horizontal", "vertical", "checks")
EDGE, FILTERS, KERNEL, STRIDE = 16, 8, 3, 1
OUT = EDGE - KERNEL + 1
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Weights:
    """`filters` (FILTERS, 3, 3, 3) and their bias, then the matrix (3, FILTERS) and its bias."""

    filters: Floats
    filter_bias: Floats
    matrix: Floats
    matrix_bias: Floats


def striped(count: int, seed: int) -> tuple[Bytes, NDArray[np.intp]]:
    """Pictures (count, EDGE, EDGE, 3) with their classes: bands of two pixels, two colours, some noise."""
    random = np.random.RandomState(seed)
    classes = random.randint(0, 3, count)
    rows, columns = np.indices((EDGE, EDGE))
    pictures = np.empty((count, EDGE, EDGE, 3))
    for picture, kind in zip(pictures, classes, strict=True):
        phase, other = random.randint(0, 4, 2)
        bands = [(rows + phase) // 2 % 2, (columns + phase) // 2 % 2]
        bands.append(bands[0] ^ ((columns + other) // 2 % 2))
        dark, light = random.uniform(0, 90, 3), random.uniform(150, 255, 3)
        picture[...] = np.where(bands[kind][..., np.newaxis], light, dark) + random.normal(0, 12, picture.shape)
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8), classes


@cache
def trained() -> Weights:
    """The weights: filters by chance, the rest by 400 steps of gradient descent."""
    random = np.random.RandomState(7)
    filters = random.normal(0, 0.4, (FILTERS, KERNEL, KERNEL, 3))
    bias = random.normal(0, 0.2, FILTERS)
    pictures, classes = striped(400, seed=1)
    features = found_by(pictures, filters, bias)
    middle, spread = features.mean(axis=0), features.std(axis=0)
    inputs, wanted = (features - middle) / spread, np.eye(3)[classes]
    matrix, offset = np.zeros((3, FILTERS)), np.zeros(3)
    for _ in range(400):
        wrong = softmax(inputs @ matrix.T + offset) - wanted
        matrix -= wrong.T @ inputs / len(inputs)
        offset -= wrong.mean(axis=0)
    return Weights(filters, bias, matrix / spread, offset - matrix @ (middle / spread))


def found_by(pictures: Bytes, filters: Floats, bias: Floats) -> Floats:
    """How much of each filter there is in each picture."""
    values = (pictures.astype(np.float64) - 127.5) / 127.5
    patches = np.lib.stride_tricks.sliding_window_view(values, (KERNEL, KERNEL), axis=(1, 2))
    found: Floats = np.einsum("nyxckl,fklc->nyxf", patches, filters) + bias
    mean: Floats = found.clip(0).mean(axis=(1, 2))
    return mean


def expected(pictures: Bytes) -> Floats:
    """The probabilities, by numpy alone."""
    weights = trained()
    return softmax(logits(found_by(pictures, weights.filters, weights.filter_bias)))


def logits(features: Floats) -> Floats:
    weights = trained()
    return features @ weights.matrix.T + weights.matrix_bias


def softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def float_tflite(*, ends_in_softmax: bool = True, with_metadata: bool = True) -> bytes:
    """The classifier in float32."""
    weights, graph = trained(), Graph()
    place = graph.tensor("image", (1, EDGE, EDGE, 3))
    found, mean = graph.tensor("found", (1, OUT, OUT, FILTERS)), graph.tensor("mean", (1, FILTERS))
    last, scores = graph.tensor("logits", (1, 3)), graph.tensor("scores", (1, 3))
    filters = graph.constant("filters", weights.filters.astype(np.float32))
    filter_bias = graph.constant("filter_bias", weights.filter_bias.astype(np.float32))
    matrix = graph.constant("matrix", weights.matrix.astype(np.float32))
    matrix_bias = graph.constant("matrix_bias", weights.matrix_bias.astype(np.float32))
    _layers(graph, [place, filters, filter_bias, found, mean, matrix, matrix_bias, last])
    if ends_in_softmax:
        graph.operator(OPERATORS.SOFTMAX, [last], [scores], softmax_options())
    outputs = [scores if ends_in_softmax else last]
    if not with_metadata:
        return graph.build([place], outputs)
    return graph.build([place], outputs, metadata=metadata(), files={"labels.txt": "\n".join(LABELS)})


def quantised_tflite(kind: str = "uint8") -> bytes:
    """The classifier in 8 bits, with inputs and outputs of `kind` (uint8 or int8)."""
    weights, graph = trained(), Graph()
    pictures, _ = striped(200, seed=2)
    features = found_by(pictures, weights.filters, weights.filter_bias)
    shift = 0 if kind == "uint8" else -128
    pixel = 1 / 127.5
    place = graph.tensor("image", (1, EDGE, EDGE, 3), kind, scale=pixel, zero_point=128 + shift)
    inner = graph.tensor("inner", (1, EDGE, EDGE, 3), "int8", scale=pixel, zero_point=0)
    found_scale, mean_scale = 8.0 / 255, float(features.max()) / 255
    found = graph.tensor("found", (1, OUT, OUT, FILTERS), "int8", scale=found_scale, zero_point=-128)
    mean = graph.tensor("mean", (1, FILTERS), "int8", scale=mean_scale, zero_point=-128)
    filters, filter_scales = _steps(weights.filters, axis=(1, 2, 3))
    matrix, matrix_scale = _steps(weights.matrix, axis=None)
    last_scale = float(np.abs(logits(features)).max()) / 127
    last = graph.tensor("logits", (1, 3), "int8", scale=last_scale, zero_point=0)
    inside = graph.tensor("inside", (1, 3), "int8", scale=1 / 256, zero_point=-128)
    scores = graph.tensor("scores", (1, 3), kind, scale=1 / 256, zero_point=shift)
    scales = [float(scale) for scale in filter_scales.reshape(-1)]
    filter_bias = np.rint(weights.filter_bias / (pixel * filter_scales.reshape(-1))).astype(np.int32)
    matrix_bias = np.rint(weights.matrix_bias / (mean_scale * float(matrix_scale))).astype(np.int32)
    at = [
        graph.constant("filters", filters, scale=scales),
        graph.constant("filter_bias", filter_bias, scale=[pixel * scale for scale in scales]),
        graph.constant("matrix", matrix, scale=float(matrix_scale)),
        graph.constant("matrix_bias", matrix_bias, scale=mean_scale * float(matrix_scale)),
    ]
    graph.operator(OPERATORS.QUANTIZE, [place], [inner], schema.QuantizeOptionsT())
    _layers(graph, [inner, at[0], at[1], found, mean, at[2], at[3], last])
    graph.operator(OPERATORS.SOFTMAX, [last], [inside], softmax_options())
    graph.operator(OPERATORS.QUANTIZE, [inside], [scores], schema.QuantizeOptionsT())
    return graph.build([place], [scores])


def _layers(graph: Graph, tensors: list[int]) -> None:
    """From the picture to the logits."""
    place, filters, filter_bias, found, mean, matrix, matrix_bias, last = tensors
    convolution = schema.Conv2DOptionsT()
    convolution.padding, convolution.strideW, convolution.strideH = schema.Padding.VALID, STRIDE, STRIDE
    convolution.dilationWFactor = convolution.dilationHFactor = 1
    convolution.fusedActivationFunction = schema.ActivationFunctionType.RELU
    graph.operator(OPERATORS.CONV_2D, [place, filters, filter_bias], [found], convolution)
    axes = graph.constant("axes", np.array([1, 2], np.int32))
    graph.operator(OPERATORS.MEAN, [found, axes], [mean], schema.ReducerOptionsT())
    graph.operator(OPERATORS.FULLY_CONNECTED, [mean, matrix, matrix_bias], [last], schema.FullyConnectedOptionsT())


def _steps(values: Floats, axis: tuple[int, ...] | None) -> tuple[NDArray[np.int8], Floats]:
    """The values in 8 bits, and what a step stands for."""
    scale = np.abs(values).max(axis=axis, keepdims=axis is not None) / 127
    return np.rint(values / scale).astype(np.int8), scale
