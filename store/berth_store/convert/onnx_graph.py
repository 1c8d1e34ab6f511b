"""Writing an ONNX graph node by node: names are counted, constants embedded, bytes the same on every run."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# 20 is the first opset with Gelu; every ONNX Runtime since 1.17 reads it, in IR version 9.
OPSET = 20
IR_VERSION = 9
PRODUCER = "berth"


class GraphWriter:
    """Collects nodes and constants; every method returns the name of the value that it adds."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count: Counter[str] = Counter()

    def input(self, name: str, shape: tuple[str | int, ...], element_type: int = onnx.TensorProto.INT64) -> str:
        """Declare an input; a word in `shape` is a dimension of any size."""
        self._inputs.append(helper.make_tensor_value_info(name, element_type, shape))
        return name

    def output(self, name: str, value: str, shape: tuple[str | int, ...]) -> None:
        """Declare `value` as the float output called `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output/{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))

    def weight(self, name: str, array: NDArray[np.float32]) -> str:
        """Embed an array under a name of its own; the same name again is the same constant."""
        return self._constant(name, np.ascontiguousarray(array))

    def number(self, value: float) -> str:
        """Embed one float32."""
        return self._constant(f"number/{value!r}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Embed a vector of int64: a shape, axes, or bounds."""
        return self._constant(f"integers/{'_'.join(map(str, values))}", np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """Embed one int64 without a dimension."""
        return self._constant(f"integer/{value}", np.array(value, np.int64))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        self._count[kind] += 1
        name = f"{kind}_{self._count[kind]}"
        self._nodes.append(helper.make_node(kind, list(inputs), [f"{name}/out"], name=name, **attributes))
        return f"{name}/out"

    def _constant(self, name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def model(self, name: str) -> onnx.ModelProto:
        """The checked model."""
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, list(self._constants.values()))
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name=PRODUCER
        )
        onnx.checker.check_model(model, full_check=True)
        return model
