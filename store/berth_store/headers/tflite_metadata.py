"""What an author wrote beside the graph: `read_metadata`, for the TFLite reader.

Source: metadata_schema.fbs of TensorFlow Lite Support. It is a flatbuffer of its own inside one of the model's buffers;
the files that it names lie in a zip archive at the end of the model's file.
"""

from berth_store.headers.tflite_files import AppendedFiles
from berth_store.headers.tflite_header import ModelMetadata, TensorMetadata
from berth_store.headers.tflite_tables import Flatbuffer, Number, Table

MAX_TENSORS = 256
MAX_UNITS = 64
MAX_FILES = 64
MAX_CHANNELS = 16
MAX_LABELS = 1 << 16
NORMALIZATION = 1
AXIS_LABELS, VALUE_LABELS = 2, 3
_CONTENT = {1: "feature", 2: "image", 3: "boxes", 4: "audio"}


def read_metadata(buffer: Flatbuffer, files: AppendedFiles) -> ModelMetadata:
    """The metadata in `buffer`, with the labels from `files`."""
    root = buffer.root("the metadata")
    graph = next(root.tables(3, 1 << 10, "the metadata of subgraph"), None)
    return ModelMetadata(
        name=root.text(0, "the model's name"),
        description=root.text(1, "the model's description"),
        inputs=_tensors(graph, 2, "the metadata of input", files) if graph else (),
        outputs=_tensors(graph, 3, "the metadata of output", files) if graph else (),
    )


def _tensors(graph: Table, field: int, what: str, files: AppendedFiles) -> tuple[TensorMetadata, ...]:
    return tuple(_tensor(each, files) for each in graph.tables(field, MAX_TENSORS, what))


def _tensor(table: Table, files: AppendedFiles) -> TensorMetadata:
    content = table.table(3, f"the content of {table.what}")
    mean, std = _normalization(table)
    name = _label_file(table)
    return TensorMetadata(
        name=table.text(0, "the name of a tensor"),
        content=_CONTENT.get(content.number(0, Number.U8), "") if content else "",
        mean=mean,
        std=std,
        label_file=name,
        labels=_labels(table, files, name) if name else (),
    )


def _normalization(table: Table) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for unit in table.tables(4, MAX_UNITS, "a step of processing"):
        options = unit.table(1, "the options of a step")
        if unit.number(0, Number.U8) == NORMALIZATION and options is not None:
            return options.floats(0, MAX_CHANNELS, "the mean"), options.floats(1, MAX_CHANNELS, "the deviation")
    return (), ()


def _label_file(table: Table) -> str:
    """The label file's name; of several, which are translations, the one that names no language."""
    found = [
        (each.text(3, "the language of a file"), each.text(0, "the name of a file"))
        for each in table.tables(6, MAX_FILES, "a file's entry")
        if each.number(2, Number.I8) in (AXIS_LABELS, VALUE_LABELS)
    ]
    return min(found)[1] if found else ""


def _labels(table: Table, files: AppendedFiles, name: str) -> tuple[str, ...]:
    content = files.read(name)
    if content is None:
        raise table.buffer.file.refuse(
            f"its metadata names the label file {name!r}, which is not in the archive at its end",
            "add the file to it again with the tool that writes its metadata",
        )
    try:
        return label_lines(content)
    except ValueError as error:
        raise table.buffer.file.refuse(f"its label file {name!r} {error}", "correct it, and add it again") from error


def label_lines(content: bytes) -> tuple[str, ...]:
    """The labels of a file with one in each line; a ValueError says why it is none."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) > MAX_LABELS:
        raise ValueError(f"has more than {MAX_LABELS:,} lines")
    return tuple(line.strip()[:256] for line in lines)
