"""JSON beside the weights that is too deep, too long or of the wrong kind."""

from collections.abc import Iterator
from pathlib import Path

from decoder_builders import decoder_files, genai_config
from folder_builders import as_bytes
from gguf_builders import llama_gguf
from safetensors_builders import safetensors

from berth_api.artifact import Format
from hostile.case import Hostile, of_files

WEIGHTS = safetensors()
CONFIG = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}'


def build(canary: Path) -> Iterator[Hostile]:
    """Each in place of `config.json`, and what other files may bring."""
    for what, content in {
        "no JSON": b"{",
        "a list": b"[]",
        "a number": b"7",
        "nested 10,000 deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        "lists nested 100,000 deep": b"[" * 100_000,
        "a key twice": b'{"architectures": ["LlamaForCausalLM"], "architectures": ["X"]}',
        "two million values": b"[" + b"1," * 2_000_000 + b"1]",
        "17 megabytes": b'{"a": "' + b"x" * (17 << 20) + b'"}',
        "100 megabytes": b" " * (100 << 20) + b"{}",
        "bytes that are no text": b'{"a": "\xff"}',
        "in UTF-16": '{"a": 1}'.encode("utf-16"),
        "a number of 100,000 digits": b'{"a": ' + b"9" * 100_000 + b"}",
        "open quotes": b'"' + b'\\"' * 500_000,
        "70,000 labels": b'{"id2label": {' + b",".join(b'"%d": "x"' % n for n in range(70_000)) + b"}}",
    }.items():
        yield Hostile(
            f"config.json is {what}", of_files({"model.safetensors": WEIGHTS, "config.json": content}), "config.json"
        )
    for what, config in {
        "positions without end": b'{"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 1e999}',
        "negative positions": b'{"architectures": ["LlamaForCausalLM"], "max_position_embeddings": -5}',
        "classes of numbers": b'{"architectures": [1, {"a": 2}], "num_labels": 99999999999999}',
        "a type of a list": b'{"architectures": ["LlamaForCausalLM"], "model_type": ["llama"]}',
    }.items():
        says = "task is open" if b"[1" in config else ""
        serves = None if says else Format.SAFETENSORS
        yield Hostile(what, of_files({"model.safetensors": WEIGHTS, "config.json": config}), says, serves)
    for name in ("adapter_config.json", "model_index.json"):
        yield Hostile(f"a part with {name}", of_files({"model.safetensors": WEIGHTS, name: b"{}"}), name)
    for what, modules in {
        "leads up": b'[{"type": "x.Transformer", "path": "../.."}]',
        "is absolute": b'[{"type": "x.Pooling", "path": "/etc"}]',
        "is no list": b'{"a": 1}',
        "has 10,000 modules": b"[" + b",".join([b'{"type": "x.Dense", "path": ""}'] * 10_000) + b"]",
        "has no types": b'[{"path": ""}]',
    }.items():
        files = {"model.safetensors": WEIGHTS, "config.json": CONFIG, "modules.json": modules}
        yield Hostile(f"modules.json {what}", of_files(files), "modules.json")
    for what, decoder, says in (
        ("a library of operators", {"session_options": {"custom_ops_library": str(canary)}}, "custom_ops_library"),
        ("a graph outside", {"filename": "../../model.onnx"}, "outside the model's folder"),
    ):
        named = decoder_files(**{"genai_config.json": genai_config(decoder=decoder)})
        yield Hostile(f"genai_config.json names {what}", of_files(as_bytes(named)), says)
    many = {f"chat{number}.jinja": b"x" for number in range(3)}
    yield Hostile("several templates", of_files({"m.gguf": llama_gguf(), **many}), "several chat templates")
    many_models = {f"{number}.gguf": llama_gguf(general__name=str(number)) for number in range(100)}
    yield Hostile("a hundred models", of_files(many_models), "GGUF models")
    yield Hostile("three formats", of_files({"m.gguf": llama_gguf(), "m.safetensors": WEIGHTS}), "several formats")
