"""What a file is by its first bytes, whatever its name: `sniff`, and the refusals of what is no model for us."""

import os
from enum import StrEnum
from pathlib import Path

from berth_api.errors import PickleRefused, UnsupportedModel
from berth_store.headers.file import open_regular
from berth_store.headers.reads import read_at
from berth_store.headers.safetensors import MAX_HEADER_BYTES

HEAD_BYTES = 512
# The tags with which a serialised ONNX model can go on after its ir_version.
_ONNX_SECOND_TAGS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2\xca\xd2")
_LEGACY_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"


class Kind(StrEnum):
    """What a file turned out to be."""

    GGUF = "a GGUF file"
    ONNX = "an ONNX graph"
    SAFETENSORS = "a safetensors file"
    TFLITE = "a TFLite file"
    PICKLE = "a Python pickle"
    EXPORTED = "an archive of torch.export"
    OLD_GGML = "a GGML file from before GGUF"
    ORT = "a graph in the private format of ONNX Runtime"
    HDF5 = "an HDF5 file"
    ZIP = "a zip archive"
    GZIP = "a compressed archive"
    LFS_POINTER = "a pointer of Git LFS in place of the file"
    HTML = "a web page"
    EMPTY = "an empty file"
    OTHER = "of no known format"


TRUST = PickleRefused.REMEDY
REFUSALS = {
    Kind.PICKLE: (
        "loading a pickle runs whatever code its author put in, so it is not opened",
        f"convert the weights to safetensors, choose a source that has them so, or as GGUF or ONNX, or {TRUST}",
    ),
    Kind.EXPORTED: (
        "PyTorch loads one by pickles, expressions and libraries that run what its author put in, trusted or not",
        "export the model to ONNX, or bring its safetensors",
    ),
    Kind.OLD_GGML: ("engines read its successor only", "fetch the model as GGUF or convert it with llama.cpp"),
    Kind.ORT: ("it is bound to one version of that library", "fetch the ONNX graph that it was made from"),
    Kind.HDF5: ("no engine here reads Keras weights", "export the model to ONNX or TFLite"),
    Kind.ZIP: ("archives are not looked into", "unpack it and name the folder"),
    Kind.GZIP: ("archives are not looked into", "unpack it and name the folder"),
    Kind.LFS_POINTER: ("the weights themselves were never fetched", "run `git lfs pull` in the folder"),
    Kind.HTML: ("most likely the answer of a site that wanted a login", "fetch the file again, signed in"),
    Kind.EMPTY: ("it has no bytes", "fetch it again"),
    Kind.OTHER: (
        "it begins like neither GGUF, safetensors, ONNX nor TFLite",
        "name the file with the weights, or their folder",
    ),
}
_MAGICS = (
    (b"GGUF", Kind.GGUF),
    (b"ggml", Kind.OLD_GGML),
    (b"lmgg", Kind.OLD_GGML),
    (b"fmgg", Kind.OLD_GGML),
    (b"tjgg", Kind.OLD_GGML),
    (b"\x89HDF", Kind.HDF5),
    (b"\x1f\x8b", Kind.GZIP),
    (b"version https://git-lfs", Kind.LFS_POINTER),
)
_FLATBUFFERS = {b"TFL3": Kind.TFLITE, b"ORTM": Kind.ORT}
_PICKLE_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
_WEIGHT_SUFFIXES = {".onnx": Kind.ONNX, ".safetensors": Kind.SAFETENSORS, ".gguf": Kind.GGUF, ".tflite": Kind.TFLITE}


def sniff(path: Path) -> Kind:
    """What the file is by its content; a name with a suffix of weights decides only where the content says nothing."""
    descriptor = open_regular(path)
    try:
        size = os.fstat(descriptor).st_size
        head = read_at(path, descriptor, HEAD_BYTES, 0)
    except OSError as error:
        raise UnsupportedModel(f"{path} can't be read: {error.strerror}; check the disk") from error
    finally:
        os.close(descriptor)
    kind = kind_of(head, size)
    return _WEIGHT_SUFFIXES.get(path.suffix.lower(), kind) if kind is Kind.OTHER else kind


def kind_of(head: bytes, size: int) -> Kind:
    """What a file is that begins with `head` and has `size` bytes."""
    if not head:
        return Kind.EMPTY
    by_start = next((kind for magic, kind in _MAGICS if head.startswith(magic)), None)
    return by_start or _FLATBUFFERS.get(head[4:8]) or _by_structure(head, size)


def _by_structure(head: bytes, size: int) -> Kind:
    """The formats without a magic of their own, each by what its first bytes have to be."""
    rules = (
        (Kind.SAFETENSORS, head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= min(size, MAX_HEADER_BYTES)),
        (Kind.ONNX, len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x80 and head[2] in _ONNX_SECOND_TAGS),
        (Kind.EXPORTED, head.startswith(b"PK\x03\x04") and b"/data/weights/weight_" in head),
        (Kind.PICKLE, head.startswith(b"PK\x03\x04") and (b"data.pkl" in head or b".format_version" in head)),
        (Kind.ZIP, head.startswith(b"PK\x03\x04")),
        (Kind.PICKLE, head[:1] == b"\x80" and (head[1:2] in _PICKLE_PROTOCOLS or _LEGACY_TORCH in head)),
        (Kind.HTML, head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html"))),
    )
    return next((kind for kind, fits in rules if fits), Kind.OTHER)


def refusal(path: Path, kind: Kind) -> UnsupportedModel:
    """The error for a file that is no model for us."""
    why, remedy = REFUSALS[kind]
    refused = PickleRefused if kind is Kind.PICKLE else UnsupportedModel
    return refused(f"{path.name} is {kind}: {why}; {remedy}")
