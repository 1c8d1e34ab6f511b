"""Reads the outside of a TFLite file: `read_tflite`, called by `berth_store.detect` and by the engine.

Source: schema.fbs of TensorFlow Lite (LiteRT). Weights are passed over. That they lie in the file is checked where the
whole file is there; where each stretch costs a request, it is left to whoever has fetched it.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import MappingProxyType

from berth_store.headers.file import HeaderFile
from berth_store.headers.reads import are_supplied
from berth_store.headers.tflite_files import AppendedFiles
from berth_store.headers.tflite_header import (
    ELEMENT_TYPES,
    ModelMetadata,
    TensorMetadata,
    TfliteHeader,
    TfliteSignature,
    TfliteTensor,
)
from berth_store.headers.tflite_metadata import read_metadata
from berth_store.headers.tflite_tables import PAGE_BYTES, REMEDY_TFLITE, Flatbuffer, Number, Table

__all__ = ["ModelMetadata", "TensorMetadata", "TfliteHeader", "TfliteSignature", "TfliteTensor", "read_tflite"]

# In all subgraphs together; language models, the largest there are in this format, have some ten thousand.
MAX_TENSORS = MAX_OPERATORS = MAX_BUFFERS = 1 << 16
MAX_SUBGRAPHS = 1 << 10
MAX_OPCODES = 1 << 11
MAX_SIGNATURES = 32
MAX_METADATA = 1 << 10
MAX_RANK = 64
MAX_ENDS = 4096
MAX_NAMED_ENDS = 1 << 10
# Inputs and outputs of all operators together: vectors may be named many times over.
MAX_ALL_ENDS = 1 << 20
MAX_SCALES = 1 << 16
# Operators from outside whose results are told, and how many of each.
MAX_TOLD = 16
MAX_COUNT = (1 << 63) - 1
METADATA_NAME = "TFLITE_METADATA"
CUSTOM = 32
_BUILTIN = {6: "DEQUANTIZE", 14: "LOGISTIC", 22: "RESHAPE", 25: "SOFTMAX", 43: "SQUEEZE", 50: "LOG_SOFTMAX"}
_BUILTIN |= {53: "CAST", 114: "QUANTIZE"}
# Operators after which the numbers still mean the same.
_FORM_ONLY = {"CAST", "DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE"}
MAX_FORM_ONLY = 16


def read_tflite(path: Path) -> TfliteHeader:
    """Read and check the model at `path`; `UnsupportedModel` says where it is damaged."""
    with HeaderFile(path, window_bytes=PAGE_BYTES) as file:
        return _TfliteReader(file).read()


@dataclass(frozen=True)
class _Operator:
    name: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass
class _Weights:
    """Constants of all subgraphs: how many of each type, and the buffers that they were found in."""

    counts: Counter[str] = field(default_factory=Counter)
    buffers: set[int] = field(default_factory=set)


class _TfliteReader:
    """One walk over one model."""

    def __init__(self, file: HeaderFile) -> None:
        self._file = file
        self._flat = Flatbuffer(file, 0, file.length_bytes)
        self._weights = _Weights()
        self._counts: Counter[str] = Counter()

    def read(self) -> TfliteHeader:
        if self._flat.take(4, 4, "the file's mark") != b"TFL3":
            raise self._file.refuse("it does not begin as a TFLite file does", REMEDY_TFLITE)
        model = self._flat.root("the model")
        names = [self._opcode(each) for each in model.tables(1, MAX_OPCODES, "operator code")]
        buffers = self._buffers(model)
        graphs = [_Graph(self, each, names, buffers) for each in model.tables(2, MAX_SUBGRAPHS, "subgraph")]
        if not graphs or not graphs[0].inputs or not graphs[0].outputs:
            raise self._file.refuse("its first subgraph lacks inputs or outputs, so it is no model", REMEDY_TFLITE)
        files = AppendedFiles(self._file)
        return TfliteHeader(
            version=model.number(0, Number.U32),
            description=model.text(3, "the description"),
            subgraphs=len(graphs),
            inputs=tuple(graphs[0].tensor(index) for index in graphs[0].inputs),
            outputs=tuple(graphs[0].tensor(index) for index in graphs[0].outputs),
            custom_ops=tuple(sorted({name for name, custom in names if custom})),
            results_of=MappingProxyType(graphs[0].results()),
            signatures=tuple(self._signature(each) for each in model.tables(7, MAX_SIGNATURES, "signature")),
            metadata=self._metadata(model, buffers, files),
            files=files.names,
            weight_types=tuple(self._weights.counts.most_common()),
            file_bytes=self._file.length_bytes,
        )

    def _opcode(self, table: Table) -> tuple[str, bool]:
        """Name, and whether it is an operator from outside. Old files have its number in another field."""
        number = max(table.number(0, Number.I8), table.number(3, Number.I32))
        if number == CUSTOM:
            return table.text(1, "the name of an operator"), True
        return _BUILTIN.get(number, str(number)), False

    def _buffers(self, model: Table) -> "_Buffers":
        vector = model.vector(4, 4, MAX_BUFFERS, "the buffers")
        return _Buffers(self._flat, vector.at, vector.count)

    def _metadata(self, model: Table, buffers: "_Buffers", files: AppendedFiles) -> ModelMetadata | None:
        for each in model.tables(6, MAX_METADATA, "entry of the metadata"):
            if each.text(0, "the name of an entry") == METADATA_NAME:
                start, length = buffers.data(each.number(1, Number.U32))
                return read_metadata(Flatbuffer(self._file, start, start + length), files)
        return None

    def _signature(self, table: Table) -> TfliteSignature:
        inputs, outputs = (
            tuple(
                (each.text(0, "the name of a tensor"), each.number(1, Number.U32))
                for each in table.tables(number, MAX_NAMED_ENDS, "an end of a signature")
            )
            for number in (0, 1)
        )
        return TfliteSignature(
            key=table.text(2, "the key of a signature"),
            inputs=inputs,
            outputs=outputs,
            subgraph=table.number(4, Number.U32),
        )

    def count(self, what: str, number: int, most: int) -> None:
        """Bound what all subgraphs have together."""
        self._counts[what] += number
        if self._counts[what] > most:
            raise self._file.refuse(f"it has more than {most:,} {what}, and no real model does")

    def weigh(self, table: Table, shape: tuple[int, ...], buffers: "_Buffers") -> None:
        """Count the constant `table`, and check that it is as long as its shape says."""
        name, bits = self.element_type(table)
        if min(shape, default=0) < 0 or (elements := prod(shape)) > MAX_COUNT:
            raise self._file.refuse(f"{table.what} has the impossible shape {list(shape)}")
        index = table.number(2, Number.U32)
        if index not in self._weights.buffers:
            self._weights.buffers.add(index)
            self._weights.counts[name] += elements
        if are_supplied() or bits is None or table.table(6, "the sparsity of a tensor") is not None:
            return
        _, length = buffers.data(index)
        needed = (elements * bits + 7) // 8
        if length not in (0, needed):
            raise self._file.refuse(
                f"{table.what} of shape {list(shape)} and type {name} needs {needed:,} bytes, and {length:,} are stored"
            )

    def element_type(self, table: Table) -> tuple[str, int | None]:
        """Name and bits of a tensor's type."""
        number = table.number(1, Number.I8)
        if number not in ELEMENT_TYPES:
            raise self._file.refuse(f"{table.what} has the unknown element type {number}")
        return ELEMENT_TYPES[number]


class _Buffers:
    """The model's buffers by number."""

    def __init__(self, flat: Flatbuffer, at: int, count: int) -> None:
        self._flat = flat
        self._at = at
        self._count = count

    def data(self, index: int) -> tuple[int, int]:
        """Where a buffer's bytes lie in the file, and how many they are: inside the flatbuffer, or after it."""
        what = f"buffer {index:,}"
        if index >= self._count:
            raise self._flat.file.refuse(f"it names {what}, and has {self._count:,}", REMEDY_TFLITE)
        table = self._flat.table(self._flat.follow(self._at + 4 * index, what), what)
        offset, size = table.number(1, Number.U64), table.number(2, Number.U64)
        if offset > 1:
            self._flat.require(offset, size, what)
            return offset, size
        vector = table.vector(0, 1, MAX_COUNT, what)
        return vector.at, vector.count


class _Graph:
    """One subgraph, all of it looked at."""

    def __init__(self, reader: _TfliteReader, table: Table, opcodes: list[tuple[str, bool]], buffers: _Buffers) -> None:
        self._reader = reader
        self._opcodes = opcodes
        self._tables = list(table.tables(0, MAX_TENSORS, "tensor"))
        reader.count("tensors", len(self._tables), MAX_TENSORS)
        self._file = table.buffer.file
        self.inputs = self._ends(table, 1, "the inputs")
        self.outputs = self._ends(table, 2, "the outputs")
        self._operators = [self._operator(each) for each in table.tables(3, MAX_OPERATORS, "operator")]
        reader.count("operators", len(self._operators), MAX_OPERATORS)
        self._maker = {index: each for each in self._operators for index in each.outputs}
        computed = self._maker.keys() | set(self.inputs)
        for index, tensor in enumerate(self._tables):
            if index not in computed and tensor.number(2, Number.U32) and not tensor.number(5, Number.U8):
                reader.weigh(tensor, self._shape(tensor, 0), buffers)

    def tensor(self, index: int) -> TfliteTensor:
        """The tensor with this number."""
        table = self._tables[index]
        shape = self._shape(table, 0)
        scale, zero_point = self._quantization(table)
        return TfliteTensor(
            index=index,
            name=table.text(3, "the name of a tensor"),
            shape=shape,
            signature=self._shape(table, 7) or shape,
            element_type=self._reader.element_type(table)[0],
            scale=scale,
            zero_point=zero_point,
            made_by=self._made_by(index),
        )

    def results(self) -> dict[str, tuple[TfliteTensor, ...]]:
        """What each operator from outside writes, where it is used first."""
        found: dict[str, tuple[TfliteTensor, ...]] = {}
        for each in self._operators:
            if each.custom and each.name not in found and len(found) < MAX_TOLD:
                found[each.name] = tuple(self.tensor(index) for index in each.outputs[:MAX_TOLD])
        return found

    def _made_by(self, index: int) -> str:
        for _ in range(MAX_FORM_ONLY):
            maker = self._maker.get(index)
            if maker is None:
                break
            if maker.name not in _FORM_ONLY or not maker.inputs or maker.inputs[0] < 0:
                return maker.name
            index = maker.inputs[0]
        return ""

    def _operator(self, table: Table) -> _Operator:
        code = table.number(0, Number.U32)
        if code >= len(self._opcodes):
            raise self._file.refuse(f"{table.what} is of kind {code:,}, and {len(self._opcodes)} are listed")
        name, custom = self._opcodes[code]
        # -1 stands for an input that is left out.
        return _Operator(
            name, custom, self._ends(table, 1, "the inputs", least=-1), self._ends(table, 2, "the outputs")
        )

    def _ends(self, table: Table, number: int, what: str, *, least: int = 0) -> tuple[int, ...]:
        indices = table.numbers(number, Number.I32, MAX_ENDS, what)
        self._reader.count("ends of operators", len(indices), MAX_ALL_ENDS)
        if indices and not least <= min(indices) <= max(indices) < len(self._tables):
            raise self._file.refuse(f"{what} of {table.what} are tensors that it does not have", REMEDY_TFLITE)
        return indices

    def _shape(self, table: Table, number: int) -> tuple[int, ...]:
        return table.numbers(number, Number.I32, MAX_RANK, "the shape")

    def _quantization(self, table: Table) -> tuple[float, int]:
        """Scale and zero point where the whole tensor has one of each."""
        found = table.table(4, f"the quantisation of {table.what}")
        if found is None or found.vector(2, 4, MAX_SCALES, "the scales").count != 1:
            return 0.0, 0
        (scale,) = found.floats(2, 1, "the scales")
        zeros = found.numbers(3, Number.I64, 1, "the zero points")
        return scale, zeros[0] if zeros else 0
