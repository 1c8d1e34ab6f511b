"""Throws damaged files at the header readers and at detection, and holds what comes back to one rule:
a valid answer or `UnsupportedModel`, in bounded time and memory. Anything else is a finding, with the file in hex."""

import os
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

import folder_builders
from tests.fuzz.corpus import Seed, seeds
from tests.fuzz.mutations import mutate

from berth_api.errors import UnsupportedModel
from berth_store.detect import DetectedModel, detect
from berth_store.headers.gguf import GgufHeader, read_gguf
from berth_store.headers.onnx import OnnxHeader, read_onnx
from berth_store.headers.safetensors import SafetensorsHeader, read_safetensors
from berth_store.headers.tflite import TfliteHeader, read_tflite

MAX_SECONDS_A_FILE = 5.0
MAX_GROWTH_BYTES = 256 << 20
Header = GgufHeader | SafetensorsHeader | OnnxHeader | TfliteHeader
Reader = Callable[[Path], Header]
READERS: dict[str, Reader] = {
    ".gguf": read_gguf,
    ".safetensors": read_safetensors,
    ".onnx": read_onnx,
    ".tflite": read_tflite,
}


@dataclass(frozen=True)
class Finding:
    """A file that broke the rule: where it lies in the folder, its bytes, and what happened."""

    name: str
    content: bytes
    what: str

    def __str__(self) -> str:
        return f"{self.name} ({len(self.content)} bytes): {self.what}\nhex: {self.content.hex()}"


@dataclass
class Tally:
    """What a run did."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def fuzz(folder: Path, *, seconds: float, seed: int, max_files: int | None = None) -> Tally:
    """Damage files in `folder` for some seconds; it stops at the first finding."""
    random, tally = Random(seed), Tally()
    places = list(_places(folder))
    for path, start in places:
        tally.outcomes["valid"] += 1
        _judge_valid(path, start, tally)
    memory = _peak_bytes()
    ends = time.monotonic() + seconds
    most = float("inf") if max_files is None else max_files
    while time.monotonic() < ends and not tally.findings and tally.outcomes.total() < most:
        path, start = random.choice(places)
        content = mutate(random, start.content)
        path.write_bytes(content)
        try:
            finding = _judge(path, path.relative_to(folder).as_posix(), content, tally)
        finally:
            path.write_bytes(start.content)
        if finding is None and _peak_bytes() - memory > MAX_GROWTH_BYTES:
            finding = Finding(str(path), content, f"memory grew by {_peak_bytes() - memory:,} bytes")
        tally.findings += [finding] if finding else []
    return tally


def _places(folder: Path) -> Iterator[tuple[Path, Seed]]:
    """Each seed in a folder of its own, with the files that it needs beside it."""
    for number, seed in enumerate(seeds()):
        home = folder / str(number)
        home.mkdir(parents=True)
        folder_builders.write_files(home, {**seed.beside, seed.name: seed.content})
        yield home / seed.name, seed


def _judge_valid(path: Path, start: Seed, tally: Tally) -> None:
    """A seed that is refused would make the run worthless."""
    try:
        detect(_root(path))
    except UnsupportedModel as error:
        if "general.architecture" not in str(error):
            tally.findings.append(Finding(start.name, start.content, f"a valid file is refused: {error}"))


def _judge(path: Path, name: str, content: bytes, tally: Tally) -> Finding | None:
    began = time.monotonic()
    try:
        for step in (_read, _detect):
            try:
                step(path)
                tally.outcomes["accepted"] += 1
            except UnsupportedModel:
                tally.outcomes["refused"] += 1
    except Exception:  # noqa: BLE001 - whatever a reader raises besides its one error is the finding
        return Finding(name, content, traceback.format_exc())
    took = time.monotonic() - began
    return Finding(name, content, f"took {took:.1f} seconds") if took > MAX_SECONDS_A_FILE else None


def _read(path: Path) -> None:
    if (reader := READERS.get(path.suffix)) is not None:
        check_header(reader(path), os.path.getsize(path))


def _detect(path: Path) -> None:
    check_model(detect(_root(path)), _root(path))


def _root(path: Path) -> Path:
    """The model's folder: it has a number for a name."""
    return next(parent for parent in path.parents if parent.name.isdigit())


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


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
