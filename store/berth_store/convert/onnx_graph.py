"""Writing an ONNX graph node by node: names are counted, small constants embedded, bytes the same on every run."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from berth_store.convert.onnx_messages import (
    Attribute,
    ElementType,
    Pieces,
    Shape,
    StoredTensor,
    graph_message,
    model_message,
    node_message,
    stored_message,
    tensor_message,
    value_message,
)

# 20 is the first opset with Gelu; every ONNX Runtime since 1.17 reads it, in IR version 9.
OPSET = 20
IR_VERSION = 9
PRODUCER = "berth"

# ONNX Runtime's own operators.
CONTRIBUTED = "com.microsoft"

_ELEMENT_TYPES = {"<f4": ElementType.FLOAT, "<i8": ElementType.INT64, "|i1": ElementType.INT8}


class GraphWriter:
    """Collects nodes and constants; every method returns the name of the value that it adds."""

    def __init__(self) -> None:
        self._nodes: list[Pieces] = []
        self._constants: dict[str, Pieces] = {}
        self._inputs: list[Pieces] = []
        self._outputs: list[Pieces] = []
        self._count: Counter[str] = Counter()
        self._opsets = {"": OPSET}

    def input(self, name: str, shape: Shape) -> str:
        """Declare an input of int64; a word in `shape` is a dimension of any size."""
        self._inputs.append(value_message(name, ElementType.INT64, shape))
        return name

    def output(self, name: str, value: str, shape: Shape) -> None:
        """Declare `value` as the float output called `name`."""
        self._nodes.append(node_message("Identity", f"output/{name}", [value], name, {}))
        self._outputs.append(value_message(name, ElementType.FLOAT, shape))

    def constant(self, name: str, array: NDArray[np.float32] | NDArray[np.int64] | NDArray[np.int8]) -> str:
        """Embed an array under a name of its own; the same name again is the same constant."""
        if name not in self._constants:
            content = np.ascontiguousarray(array)
            element_type = _ELEMENT_TYPES[content.dtype.newbyteorder("<").str]
            data = content.reshape(-1).view(np.uint8).data
            self._constants[name] = tensor_message(name, element_type, array.shape, data)
        return name

    def stored(self, name: str, tensor: StoredTensor) -> str:
        """Name a tensor of another file; the same name again is the same tensor."""
        if name not in self._constants:
            self._constants[name] = stored_message(name, tensor)
        return name

    def number(self, value: float) -> str:
        """Embed one float32."""
        return self.constant(f"number/{value!r}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Embed a vector of int64: a shape, axes, or bounds."""
        return self.constant(f"integers/{'_'.join(map(str, values))}", np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """Embed one int64 without a dimension."""
        return self.constant(f"integer/{value}", np.array(value, np.int64))

    def op(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node with one output."""
        return self._node(kind, inputs, attributes)

    def contributed(self, kind: str, *inputs: str) -> str:
        """Add a node of an operator that ONNX Runtime has and ONNX has not."""
        self._opsets[CONTRIBUTED] = 1
        return self._node(kind, inputs, {}, CONTRIBUTED)

    def _node(self, kind: str, inputs: Sequence[str], attributes: Mapping[str, Attribute], domain: str = "") -> str:
        self._count[kind] += 1
        name = f"{kind}_{self._count[kind]}"
        self._nodes.append(node_message(kind, name, inputs, f"{name}/out", attributes, domain=domain))
        return f"{name}/out"

    def model(self, name: str) -> Pieces:
        """The whole file, in pieces to be written one after the other."""
        graph = graph_message(
            name,
            nodes=self._nodes,
            tensors=self._constants.values(),
            inputs=self._inputs,
            outputs=self._outputs,
        )
        return model_message(graph, ir_version=IR_VERSION, producer=PRODUCER, opsets=self._opsets)
