"""Files of a model, each read by its header reader and looked at by detection. What they must hold to stands here."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import folder_builders
from tests.fuzz.corpus import Seed
from tests.fuzz.run import Sample

from berth_api.errors import UnsupportedModel
from berth_store.detect import DetectedModel, detect
from berth_store.headers.gguf import GgufHeader, read_gguf
from berth_store.headers.onnx import OnnxHeader, read_onnx
from berth_store.headers.safetensors import SafetensorsHeader, read_safetensors
from berth_store.headers.tflite import TfliteHeader, read_tflite

Header = GgufHeader | SafetensorsHeader | OnnxHeader | TfliteHeader
Reader = Callable[[Path], Header]
READERS: dict[str, Reader] = {
    ".gguf": read_gguf,
    ".safetensors": read_safetensors,
    ".onnx": read_onnx,
    ".tflite": read_tflite,
}


def file_samples(seeds: Sequence[Seed], folder: Path) -> list[Sample]:
    """Each seed in a folder of its own, with the files that it needs beside it."""
    samples = []
    for number, seed in enumerate(seeds):
        root = folder / str(number)
        root.mkdir(parents=True)
        folder_builders.write_files(root, {**seed.beside, seed.name: seed.content})
        read = partial(_read, root / seed.name, root)
        samples.append(Sample(seed.name, seed.content, read, refusals=0 if seed.is_model else 1))
    return samples


def _read(path: Path, root: Path, content: bytes) -> Iterator[bool]:
    path.write_bytes(content)
    if (reader := READERS.get(path.suffix)) is not None:
        yield _takes(lambda: check_header(reader(path), len(content)))
    yield _takes(lambda: check_model(detect(root), root))


def _takes(read: Callable[[], None]) -> bool:
    try:
        read()
    except UnsupportedModel:
        return False
    return True


def check_header(header: Header, size: int) -> None:
    """What holds for every header that was accepted, whatever the file."""
    match header:
        case GgufHeader():
            ends = [header.data_offset + each.offset + each.length_bytes for each in header.tensors]
            assert all(0 <= end <= size for end in ends), "a tensor lies beyond the file's end"
            assert header.split_count >= 1
        case SafetensorsHeader():
            ranges = sorted((each.start, each.end) for each in header.tensors)
            assert all(left[1] == right[0] for left, right in pairwise(ranges)), "holes or overlap"
            assert header.data_offset + (ranges[-1][1] if ranges else 0) == size, "data and file differ in length"
        case OnnxHeader():
            assert all(each.needed_bytes <= each.file_bytes for each in header.external), "weights beyond their file"
            assert header.tensor_bytes >= 0
        case TfliteHeader():
            assert header.inputs, "a model without an input"
            assert header.outputs, "a model without an output"
            assert header.file_bytes == size
    assert header.parameters >= 0


def check_model(model: DetectedModel, root: Path) -> None:
    """What holds for every model that was accepted."""
    for path in (*model.weights, *filter(None, (model.tokenizer, model.projector))):
        assert path.resolve().is_relative_to(root.resolve()), f"{path} is outside the model's folder"
    assert model.weights
    assert model.artifact.model_dump_json()
