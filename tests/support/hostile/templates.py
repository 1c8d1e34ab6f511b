"""Chat templates that reach for the machine, in each place where one may lie."""

import json
from collections.abc import Iterator
from pathlib import Path

import chat_templates
from gguf_builders import llama_gguf
from safetensors_builders import safetensors
from tar_builders import tar_of

from berth_api.artifact import Format
from hostile.case import Hostile, of_files, of_tar

CONFIG = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}'


def build(canary: Path) -> Iterator[Hostile]:
    """Each attack inside the weights; one of them elsewhere too; real templates, which are fine."""
    for what, template in chat_templates.BAD.items():
        weights = llama_gguf(tokenizer__chat_template=template)
        yield Hostile(f"template: {what}", of_files({"weights.gguf": weights}), "chat template of weights.gguf")
    attack = f"{{{{ lipsum.__globals__['os'].popen('touch {canary}').read() }}}}"
    listed = {"chat_template": [{"name": "default", "template": attack}]}
    for name, content in {
        "chat_template.jinja": attack.encode(),
        "whim.jinja": attack.encode(),
        "tokenizer_config.json": json.dumps({"chat_template": attack}).encode(),
        "chat_template.json": json.dumps({"chat_template": attack}).encode(),
    }.items():
        files = {"model.safetensors": safetensors(), "config.json": CONFIG, name: content}
        yield Hostile(f"template: in {name}", of_files(files), "the chat template of")
        yield Hostile(f"template: in {name} in an archive", of_tar(tar_of(files)), "the chat template of")
        yield Hostile(
            f"template: in {name} beside GGUF",
            of_files({"m.gguf": llama_gguf(), name: content}),
            "the chat template of",
        )
    files = {
        "model.safetensors": safetensors(),
        "config.json": CONFIG,
        "tokenizer_config.json": json.dumps(listed).encode(),
    }
    yield Hostile("template: in a list", of_files(files), "the chat template of")
    tools = llama_gguf(**{"tokenizer__chat_template.tool_use": attack})
    yield Hostile("template: for tools, in the weights", of_files({"weights.gguf": tools}), "of weights.gguf")
    good = {"model.safetensors": safetensors(), "config.json": CONFIG, "chat_template.jinja": b"{{ messages }}"}
    more = {**good, "additional_chat_templates/rag.jinja": attack.encode()}
    yield Hostile("template: for documents", of_files(more), "the chat template of")
    other = {"chat_template": [{"name": "tool_use", "template": attack}, {"name": "default", "template": "x"}]}
    hidden = {**good, "tokenizer_config.json": json.dumps(other).encode()}
    yield Hostile("template: for tools", of_files(hidden), "the chat template of")
    long = {"m.gguf": llama_gguf(), "chat_template.jinja": b"{{ x }}" * 200_000}
    yield Hostile("template: of a megabyte", of_files(long), "chat_template.jinja")
    for what, template in chat_templates.GOOD.items():
        weights = llama_gguf(tokenizer__chat_template=template)
        yield Hostile(f"template: {what}", of_files({"weights.gguf": weights}), serves=Format.GGUF)
