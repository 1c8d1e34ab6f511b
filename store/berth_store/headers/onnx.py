"""Reads the graph's outside of an ONNX file: `read_onnx`, called by `berth_store.detect`.

Source: onnx.proto of the ONNX project. The file is walked as a wire format, message by message, through every subgraph,
function and attribute, for a tensor anywhere may name a file outside; data of tensors are passed over, not read.
"""

from collections import Counter
from pathlib import Path
from types import MappingProxyType

from berth_store.headers.file import HeaderFile
from berth_store.headers.onnx_header import ExternalFile, OnnxHeader, OnnxValue, PackedWeights
from berth_store.headers.onnx_tensor import TensorReader
from berth_store.headers.onnx_types import CHILDREN, ELEMENT_TYPES, STANDARD_DOMAINS, Message
from berth_store.headers.protobuf import Field, WireReader, WireType

__all__ = ["ExternalFile", "OnnxHeader", "OnnxValue", "read_onnx"]

# Some 70,000 nodes; the largest graphs of language models have a third of that.
MAX_FIELDS = 1 << 20
MAX_DEPTH = 64
MAX_VALUES = 4096
MAX_DIMS = 64
MAX_DOMAINS = 256
MAX_OPERATORS = 1024
MAX_METADATA = 1024
MAX_NAME_BYTES = 4096
MAX_METADATA_BYTES = 1 << 20
MAX_KEPT_BYTES = 16 << 20
# The operator whose matrices are packed, and what it says of one: its two sizes, bits of a number, numbers of a block.
PACKED_OPERATOR = "MatMulNBits"
PACKED_ATTRIBUTES = frozenset({"K", "N", "bits", "block_size"})
MAX_PACKED_SIZE = (1 << 31) - 1
REMEDY_ONNX = "check that it is an ONNX file and that it was fetched whole"


def read_onnx(path: Path, *, root: Path | None = None) -> OnnxHeader:
    """Read and check the graph at `path`; files with external weights must lie beside it.

    `root` is the model's folder if that is above the graph's own (`onnx/model.onnx`).
    """
    with HeaderFile(path, window_bytes=1 << 14) as file:
        return _OnnxReader(file, root or path.parent).read()


class _OnnxReader:
    """One walk over one model, depth first, with a stack of its own."""

    def __init__(self, file: HeaderFile, root: Path) -> None:
        self._file = file
        self._wire = WireReader(file, max_fields=MAX_FIELDS)
        self._tensors = TensorReader(self._wire, root)
        self._ir_version = 0
        self._producer = ["", ""]
        self._opsets: dict[str, int] = {}
        self._node_domains: set[str] = set()
        self._operators: set[str] = set()
        self._operator = self._attribute = ""
        self._said: dict[str, int] = {}
        self._packed: dict[int, Counter[str]] = {}
        self._metadata: dict[str, str] = {}
        self._kept_bytes = 0
        self._graphs = 0
        self._node_count = 0
        self._values: dict[int, dict[str, OnnxValue]] = {11: {}, 12: {}}

    def read(self) -> OnnxHeader:
        self._walk()
        self._end_node()
        lacks = [name for name, has in (("ir_version", self._ir_version > 0), ("opset", self._opsets)) if not has]
        if lacks or self._graphs != 1:
            why = f"has no {lacks[0]}" if lacks else f"has {self._graphs} graphs and not one"
            raise self._file.refuse(f"it {why}, so it is no ONNX model", REMEDY_ONNX)
        inputs = [value for name, value in self._values[11].items() if name not in self._tensors.initializers]
        domains = (self._node_domains | set(self._opsets)) - STANDARD_DOMAINS
        return OnnxHeader(
            ir_version=self._ir_version,
            producer=" ".join(filter(None, self._producer)),
            opsets=tuple(sorted(self._opsets.items())),
            inputs=tuple(inputs),
            outputs=tuple(self._values[12].values()),
            external=self._tensors.external(),
            tensor_bytes=self._tensors.tensor_bytes,
            weight_types=tuple(self._tensors.weight_types.most_common()),
            custom_domains=tuple(sorted(domains)),
            operators=tuple(sorted(self._operators)),
            packed=tuple(PackedWeights(bits, **counts) for bits, counts in sorted(self._packed.items())),
            metadata=MappingProxyType(self._metadata),
            node_count=self._node_count,
            file_bytes=self._file.length_bytes,
        )

    def _walk(self) -> None:
        stack = [(Message.MODEL, self._wire.fields(0, self._file.length_bytes, "the model"))]
        while stack:
            kind, fields = stack[-1]
            field = next(fields, None)
            if field is None:
                stack.pop()
                continue
            child = CHILDREN.get((kind, field.number))
            if child is None:
                self._note(kind, field, depth=len(stack))
            elif field.wire is not WireType.BYTES:
                raise self._file.refuse(
                    f"field {field.number} of a {kind.name} is a number and not a message", REMEDY_ONNX
                )
            elif child is Message.TENSOR:
                self._tensors.read(field, initializer=kind is Message.GRAPH)
            else:
                self._enter(kind, child)
                stack.append(
                    (child, self._wire.fields(field.start, field.end, f"a {child.name} at byte {field.start:,}"))
                )
                if len(stack) > MAX_DEPTH:
                    raise self._file.refuse(f"its graphs are nested more than {MAX_DEPTH} messages deep")

    def _enter(self, kind: Message, child: Message) -> None:
        if child is Message.NODE:
            self._end_node()
        self._node_count += child is Message.NODE
        self._graphs += child is Message.GRAPH and kind is Message.MODEL

    def _note(self, kind: Message, field: Field, *, depth: int) -> None:
        """Keep what matters of a field that leads to no tensor."""
        if kind is Message.NODE and field.number == 7:
            self._node_domains.add(self._wire.text(field, MAX_NAME_BYTES, "the domain of a node"))
            self._bound(len(self._node_domains), MAX_DOMAINS, "operator domains")
        elif kind is Message.NODE and field.number == 4:
            self._operator = self._wire.text(field, MAX_NAME_BYTES, "the operator of a node")
            self._operators.add(self._operator)
            self._bound(len(self._operators), MAX_OPERATORS, "operators")
        elif kind is Message.ATTRIBUTE:
            self._note_attribute(field)
        elif kind is Message.GRAPH and depth == 2 and field.number in self._values:
            self._add_value(field)
        elif kind is Message.MODEL:
            self._note_model(field)

    def _note_attribute(self, field: Field) -> None:
        """A name comes before its value in every writer's files; one that does not is passed over."""
        if field.number == 1:
            self._attribute = self._wire.text(field, MAX_NAME_BYTES, "the name of an attribute")
        elif field.number == 3 and self._attribute in PACKED_ATTRIBUTES and 0 < field.value <= MAX_PACKED_SIZE:
            self._said[self._attribute] = field.value

    def _end_node(self) -> None:
        """Count the matrix of the node that was read before the next one begins."""
        operator, said = self._operator, self._said
        self._operator, self._said = "", {}
        if operator == PACKED_OPERATOR and said.keys() >= {"K", "N", "block_size"}:
            blocks = said["N"] * -(-said["K"] // said["block_size"])
            bits = min(said.get("bits", 4), 64)
            self._packed.setdefault(bits, Counter()).update(numbers=said["N"] * said["K"], blocks=blocks)

    def _note_model(self, field: Field) -> None:
        if field.number == 1:
            self._ir_version = field.value
        elif field.number in (2, 3):
            self._producer[field.number - 2] = self._wire.text(field, MAX_NAME_BYTES, "the producer's name")
        elif field.number == 8:
            self._add_opset(field)
        elif field.number == 14:
            self._add_metadata(field)

    def _add_opset(self, field: Field) -> None:
        domain, version = "", 0
        for each in self._sub(field, "an opset"):
            if each.number == 1:
                domain = self._wire.text(each, MAX_NAME_BYTES, "the domain of an opset")
            elif each.number == 2:
                version = each.value
        self._opsets[domain] = version
        self._bound(len(self._opsets), MAX_DOMAINS, "opsets")

    def _add_metadata(self, field: Field) -> None:
        key = value = ""
        for each in self._sub(field, "an entry of the metadata"):
            if each.number == 1:
                key = self._wire.text(each, MAX_NAME_BYTES, "a key of the metadata")
            elif each.number == 2:
                value = self._wire.text(each, MAX_METADATA_BYTES, "a value of the metadata")
        self._kept_bytes += len(value)
        self._bound(self._kept_bytes, MAX_KEPT_BYTES, "bytes of metadata")
        self._metadata[key] = value
        self._bound(len(self._metadata), MAX_METADATA, "entries of metadata")

    def _add_value(self, field: Field) -> None:
        name, kind, dims = "", None, None
        for each in self._sub(field, "an input or output"):
            if each.number == 1:
                name = self._wire.text(each, MAX_NAME_BYTES, "the name of an input or output")
            elif each.number == 2:
                kind, dims = self._type(each)
        values = self._values[field.number]
        if name in values:
            raise self._file.refuse(f"the graph has two inputs or two outputs called {name!r}")
        values[name] = OnnxValue(name, kind, dims)
        self._bound(len(values), MAX_VALUES, "inputs or outputs")

    def _type(self, field: Field) -> tuple[str | None, tuple[int | str | None, ...] | None]:
        """Element type and dimensions of a TypeProto; both None for what is no tensor."""
        kind: str | None = None
        dims: tuple[int | str | None, ...] | None = None
        for choice in self._sub(field, "a type"):
            if choice.number != 1:
                continue
            for each in self._sub(choice, "a tensor's type"):
                if each.number == 1:
                    known = ELEMENT_TYPES.get(each.value)
                    kind = known.name if known else None
                elif each.number == 2:
                    dims = tuple(self._dim(dim) for dim in self._sub(each, "a shape") if dim.number == 1)
                    self._bound(len(dims), MAX_DIMS, "dimensions of one value")
        return kind, dims

    def _dim(self, field: Field) -> int | str | None:
        size: int | str | None = None
        for each in self._sub(field, "a dimension"):
            if each.number == 1 and each.wire is WireType.VARINT:
                # Some exporters write -1 for a size that may differ.
                size = each.signed if each.signed >= 0 else None
            elif each.number == 2:
                size = self._wire.text(each, MAX_NAME_BYTES, "the name of a dimension")
        return size

    def _sub(self, field: Field, what: str) -> list[Field]:
        if field.wire is not WireType.BYTES:
            raise self._file.refuse(f"{what} is a number and not a message", REMEDY_ONNX)
        fields = []
        for each in self._wire.fields(field.start, field.end, what):
            fields.append(each)
            self._bound(len(fields), MAX_VALUES, f"fields in {what}")
        return fields

    def _bound(self, count: int, most: int, what: str) -> None:
        if count > most:
            raise self._file.refuse(f"it has more than {most:,} {what}, and no real model does")
