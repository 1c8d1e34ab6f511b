"""Programs that pose as weights. Each would make the canary, if anything ever ran it."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import tar_builders as t
from gguf_builders import llama_gguf
from safetensors_builders import safetensors

from berth_api.artifact import Format
from hostile.case import Hostile, of_files, of_tar

CONFIG = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}'
_LIKE_NOTHING = {"a pickle in text", "an array of objects", "a tar of pickles"}
SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".safetensors", ".gguf", ".onnx", ".tflite", ".h5", "")


def build(canary: Path) -> Iterator[Hostile]:
    """Each kind under the names of others."""
    made = programs(canary)
    for what, content in made.items():
        for suffix in SUFFIXES if what == "a pickle" else (".bin", ".safetensors", ".gguf"):
            name = f"pytorch_model{suffix}"
            # What begins like nothing known is no weights; under a name of weights it is named.
            is_named = suffix in {".safetensors", ".gguf", ".onnx", ".tflite"} or what not in _LIKE_NOTHING
            says = name if is_named else "holds no model"
            yield Hostile(f"{what} as {name}", of_files({name: content, "config.json": CONFIG}), says)
    for what, content in made.items():
        beside = {"model.safetensors": safetensors(), "config.json": CONFIG, "optimizer.pt": content}
        yield Hostile(f"{what} beside weights", of_files(beside), serves=Format.SAFETENSORS)
    packed = t.tar_of({"pytorch_model.bin": made["a pickle"], "config.json": CONFIG})
    yield Hostile("a pickle in an archive", of_tar(packed), "pytorch_model.bin")
    code = f"open({str(canary)!r}, 'w')".encode()
    modules = ("modeling", "sitecustomize", "usercustomize", "__init__", "json", "berth_store")
    python = {f"{module}.py": code for module in modules}
    yield Hostile("Python beside weights", of_files({"m.gguf": llama_gguf(), **python}), serves=Format.GGUF)
    yield Hostile("Python alone", of_files(python), "holds no model")
    auto = (
        b'{"architectures": ["X"], "auto_map": {"AutoModelForCausalLM": "modeling.X", "AutoConfig": "../../canary.X"}}'
    )
    custom = {"model.safetensors": safetensors(), "config.json": auto, "chat_template.jinja": b"x", **python}
    yield Hostile("auto_map and a class of its own", of_files(custom), "names X")
    known = {**custom, "config.json": auto.replace(b'"X"]', b'"LlamaForCausalLM"]')}
    yield Hostile("auto_map with a known class", of_files(known), serves=Format.SAFETENSORS)
    libraries = {
        "lib.so": b"\x7fELF" + bytes(100),
        "run.sh": b"#!/bin/sh\ntouch " + str(canary).encode(),
        ".env": code,
        "python3": code,
    }
    yield Hostile("programs beside weights", of_files({"m.gguf": llama_gguf(), **libraries}), serves=Format.GGUF)


def programs(canary: Path) -> dict[str, bytes]:
    """Each kind of program, by what it is."""
    command = f"touch {canary}".encode()
    plain = b"cposix\nsystem\n(S'" + command + b"'\ntR."
    binary = b"\x80\x04cposix\nsystem\n\x8c" + bytes([len(command)]) + command + b"\x85R."
    return {
        "a pickle": binary,
        "a pickle in text": plain,
        "a torch zip": _zip({"archive/data.pkl": binary, "archive/version": b"3", "archive/data/0": bytes(64)}),
        "a stored torch zip": _zip({"archive/data.pkl": binary}, zipfile.ZIP_STORED),
        "an old torch file": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + binary,
        "a packed pickle": t.gzipped(binary),
        "an array of objects": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
        + binary,
        "a Keras file": b"\x89HDF\r\n\x1a\n" + binary,
        "a tar of pickles": t.tar_of({"data.pkl": binary}),
    }


def _zip(files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()
