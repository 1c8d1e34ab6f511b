"""Writes small TFLite files with the schema that LiteRT ships, for tests of the reader, detection and the engine.

Our reader is not used, so a test that builds and reads compares two opinions. A builder takes whatever a hostile writer
would lie about: indices, types and shapes are written as they are given.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from numpy.typing import NDArray

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}
OPERATORS = schema.BuiltinOperator
DETECTION_OP = "TFLite_Detection_PostProcess"


@dataclass
class Graph:
    """A model under construction; tensors are known by their numbers."""

    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        kind: str | int = "float32",
        *,
        scale: float | Sequence[float] = (),
        zero_point: int = 0,
        signature: Sequence[int] | None = None,
    ) -> int:
        """A tensor that is computed, or comes from outside."""
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, list(shape), 0
        made.type = TYPES[kind] if isinstance(kind, str) else kind
        made.shapeSignature = None if signature is None else list(signature)
        scales = [scale] if isinstance(scale, float) else list(scale)
        if scales:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = scales
            made.quantization.zeroPoint = [zero_point] * len(scales)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, name: str, values: NDArray[Any], *, scale: float | Sequence[float] = ()) -> int:
        """A tensor with its values."""
        index = self.tensor(name, values.shape, values.dtype.name, scale=scale)
        self.tensors[index].buffer = self.buffer(values.tobytes())
        return index

    def buffer(self, content: bytes) -> int:
        """A buffer with these bytes."""
        made = schema.BufferT()
        made.data = np.frombuffer(content, dtype=np.uint8)
        self.buffers.append(made)
        return len(self.buffers) - 1

    def operator(
        self, code: int | str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None, **custom: Any
    ) -> None:
        """An operator by its number, or one from outside by its name, with `custom` as its options."""
        kind = schema.OperatorCodeT()
        number = code if isinstance(code, int) else OPERATORS.CUSTOM
        kind.customCode = None if isinstance(code, int) else code
        kind.builtinCode, kind.deprecatedBuiltinCode, kind.version = number, min(number, 127), 1
        self.codes.append(kind)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self.codes) - 1, list(inputs), list(outputs)
        if options is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            made.builtinOptions = options
        if custom:
            made.customOptions = list(bytes(flexbuffers.Dumps(custom)))
        self.operators.append(made)

    def build(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        metadata: bytes | None = None,
        files: Mapping[str, str | bytes] | None = None,
        signature: str | None = None,
        names: Mapping[int, str] | None = None,
        described: int = 0,
        description: str = "made by a test",
    ) -> bytes:
        """The file; `files` go into an archive at its end.

        `signature` is the key of one, of the subgraph `described`, in which tensors are called by `names`.
        """
        subgraph = schema.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = "main", self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.description, model.operatorCodes = 3, description, self.codes
        model.subgraphs, model.buffers = [subgraph], self.buffers
        if metadata is not None:
            entry = schema.MetadataT()
            entry.name, entry.buffer = "TFLITE_METADATA", self.buffer(metadata)
            model.metadata = [entry]
        if signature is not None:
            model.signatureDefs = [_signature(signature, inputs, outputs, names or {}, described)]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output()) + (archive(files) if files is not None else b"")


def _signature(key: str, inputs: Sequence[int], outputs: Sequence[int], names: Mapping[int, str], subgraph: int) -> Any:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = key, subgraph
    made.inputs, made.outputs = (
        [_ends(names.get(index, f"{what}_{index}"), index) for index in ends]
        for what, ends in (("in", inputs), ("out", outputs))
    )
    return made


def _ends(name: str, index: int) -> Any:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name, index
    return made


def archive(files: Mapping[str, str | bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive as writers of metadata put it at a model's end."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as made:
        for name, text in files.items():
            made.writestr(zipfile.ZipInfo(name), text, method)
    return content.getvalue()


Value = Any  # a number with its slot's kind, a text, a list of floats, of tables, or a table: {field: value}


def flat_table(fields: Mapping[int, Value], *, mark: bytes = b"M001") -> bytes:
    """A flatbuffer of tables that are given as {number of the field: value}."""
    builder = flatbuffers.Builder(256)
    builder.Finish(_write(builder, fields), mark)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, fields: Mapping[int, Value]) -> int:
    offsets = {number: _write_value(builder, value) for number, value in fields.items() if not isinstance(value, int)}
    builder.StartObject(max(fields, default=0) + 1)
    for number, value in fields.items():
        if isinstance(value, int):
            builder.PrependUint8Slot(number, value, 255)
        else:
            builder.PrependUOffsetTRelativeSlot(number, offsets[number], 0)
    return int(builder.EndObject())


def _write_value(builder: flatbuffers.Builder, value: Value) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Mapping):
        return _write(builder, value)
    if value and isinstance(value[0], float):
        return int(builder.CreateNumpyVector(np.array(value, np.float32)))
    offsets = [_write(builder, each) for each in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def metadata(
    *,
    mean: Sequence[float] = (127.5,),
    std: Sequence[float] = (127.5,),
    labels: str | None = "labels.txt",
    name: str = "a model",
) -> bytes:
    """TFLITE_METADATA of a model that takes a picture and gives scores."""
    unit = {0: 1, 1: {0: list(mean), 1: list(std)}}
    picture = {0: "image", 3: {0: 2, 1: {0: 1}}, 4: [unit]} if mean else {0: "image", 3: {0: 2, 1: {0: 1}}}
    scores = {0: "probability", 6: [{0: labels, 2: 2}]} if labels else {0: "probability"}
    return flat_table({0: name, 1: "of a test", 3: [{2: [picture], 3: [scores]}]})


def picture_graph(
    *,
    shape: Sequence[int] = (1, 8, 8, 3),
    classes: int = 3,
    kind: str = "float32",
    signature: Sequence[int] | None = None,
) -> tuple[Graph, int, int]:
    """Mean colour, a matrix, softmax: a classifier that knows colours; the graph, its input and its output."""
    graph = Graph()
    place = graph.tensor("image", shape, kind, signature=signature)
    mean = graph.tensor("mean", (1, shape[3]))
    graph.operator(OPERATORS.MEAN, [place, graph.constant("axes", np.array([1, 2], np.int32))], [mean], _reducer())
    weights = np.zeros((classes, shape[3]), np.float32)
    np.fill_diagonal(weights, 8.0)
    logits, scores = graph.tensor("logits", (1, classes)), graph.tensor("scores", (1, classes))
    matrix = graph.constant("weights", weights)
    graph.operator(OPERATORS.FULLY_CONNECTED, [mean, matrix, -1], [logits], schema.FullyConnectedOptionsT())
    graph.operator(OPERATORS.SOFTMAX, [logits], [scores], softmax_options())
    return graph, place, scores


def picture_tflite(*, labels: Sequence[str] | None = None, **more: Any) -> bytes:
    """`picture_graph` as a file; with `labels`, it has metadata, and an archive with their file."""
    graph, place, scores = picture_graph(**more)
    if labels is None:
        return graph.build([place], [scores])
    return graph.build([place], [scores], metadata=metadata(), files={"labels.txt": "\n".join(labels) + "\n"})


def ssd_tflite(*, swapped: bool = False, labels: str | None = None) -> bytes:
    """A detector of one red, one green and one blue thing, each where its anchor is, by the picture's mean colour.

    Anchors are (y, x, height, width) in shares: red top left, green in the middle, blue a flat one below.
    """
    graph = Graph()
    place = graph.tensor("image", (1, 16, 16, 3))
    mean, raw, flat = (graph.tensor(name, (1, size)) for name, size in (("mean", 3), ("raw", 12), ("flat", 12)))
    graph.operator(OPERATORS.MEAN, [place, graph.constant("axes", np.array([1, 2], np.int32))], [mean], _reducer())
    weights, bias = np.zeros((3, 4, 3), np.float32), np.full((3, 4), -8.0, np.float32)
    for colour in range(3):  # class 0 of the scores is the background
        weights[colour, colour + 1, colour] = 12.0
    graph.operator(
        OPERATORS.FULLY_CONNECTED,
        [mean, graph.constant("weights", weights.reshape(12, 3)), graph.constant("bias", bias.reshape(12))],
        [raw],
        schema.FullyConnectedOptionsT(),
    )
    graph.operator(OPERATORS.LOGISTIC, [raw], [flat])
    scores = graph.tensor("scores", (1, 3, 4))
    shape = graph.constant("shape", np.array([1, 3, 4], np.int32))
    graph.operator(OPERATORS.RESHAPE, [flat, shape], [scores])
    boxes = graph.constant("boxes", np.zeros((1, 3, 4), np.float32))
    anchors = np.array([[0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 0.2, 0.2], [0.875, 0.5, 0.25, 1.0]], np.float32)
    found = [graph.tensor(f"found:{number}", shape) for number, shape in enumerate([(1, 3, 4), (1, 3), (1, 3), (1,)])]
    graph.operator(
        DETECTION_OP,
        [boxes, scores, graph.constant("anchors", anchors)],
        found,
        max_detections=3,
        max_classes_per_detection=1,
        detections_per_class=3,
        use_regular_nms=False,
        nms_score_threshold=0.01,
        nms_iou_threshold=0.6,
        num_classes=3,
        y_scale=10.0,
        x_scale=10.0,
        h_scale=5.0,
        w_scale=5.0,
    )
    outputs = [found[1], found[0], found[3], found[2]] if swapped else found
    more: dict[str, Any] = {} if labels is None else {"files": {"labels.txt": labels}}
    return graph.build([place], outputs, metadata=metadata(labels=labels and "labels.txt"), **more)


def softmax_options() -> Any:
    """Softmax as everyone means it."""
    made = schema.SoftmaxOptionsT()
    made.beta = 1.0
    return made


def _reducer() -> Any:
    made = schema.ReducerOptionsT()
    made.keepDims = False
    return made
