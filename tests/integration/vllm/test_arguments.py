"""The tables of arguments beside vLLM's own parser, so that neither drifts from the other."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import vllm_process
from model_builders import a_model, an_artifact

from berth_api.arguments import ACCEPTED, FIELDS
from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.launch import build_launch
from berth_runtime.arguments import parse_arguments
from berth_runtime.vllm.arguments import render_arguments
from berth_runtime.vllm.group import Place
from berth_store.detect import DetectedAdapter

pytestmark = [pytest.mark.vllm, pytest.mark.needs("vllm"), pytest.mark.timeout(600)]

TABLE = ACCEPTED[EngineType.VLLM]
SAMPLES = {
    "attention-backend": "FLASH_ATTN",
    "cpu-offload-gb": "2.5",
    "gpu-memory-utilization": "0.85",
    "kv-cache-dtype": "fp8_e4m3",
    "moe-backend": "triton",
    "quantization": "compressed-tensors",
    "reasoning-parser": "deepseek_r1",
    "tool-call-parser": "hermes",
}
MODELS: tuple[dict[str, Any], ...] = (
    {},
    {"context_length": 8192},
    {"parallel_sequences": 16},
    {"task": "Completion"},
    {"task": "Embedding"},
    {"task": "Rerank"},
    {"accelerator": {"memory": "24Gi"}},
    {"accelerator": {"memory": "80Gi", "count": 4}},
    {"accelerator": {"memory": "80Gi", "count": 8}, "context_length": 131072},
    {"accelerator": {"memory": "80Gi", "count": 4, "nodes": 2}},
    {"engine": {"args": ["enable-auto-tool-choice", "tool-call-parser=hermes"]}},
    {"engine": {"args": ["reasoning-parser=qwen3"]}},
    {"engine": {"args": ["quantization=fp8", "kv-cache-dtype=fp8"]}},
    {"engine": {"args": ["gpu_memory_utilization=0.92", "max-num-batched-tokens=8192"]}},
    {"engine": {"args": ["enable-prefix-caching=false", "enable-chunked-prefill=true"]}},
    {"engine": {"args": ["dtype=bfloat16", "enforce-eager"]}},
    {"engine": {"args": ["cpu-offload-gb=8", "block-size=16"]}},
    {"engine": {"args": ["seed=0", "max-logprobs=5"]}},
    {"engine": {"args": ["enable-expert-parallel=true"]}, "accelerator": {"memory": "80Gi", "count": 2}},
    {"engine": {"args": ["language-model-only=true", "async-scheduling=true"]}},
    {"engine": {"args": ["scheduling-policy=priority"]}, "rollout": {"drainTimeout": "30s"}, "context_length": 4096},
)


def parse(lines: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """What vLLM's parser says of each command line."""
    script = Path(__file__).with_name("parse_arguments.py")
    done = subprocess.run(
        [vllm_process.python(), script],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": vllm_process.source_path()},
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def samples(name: str) -> list[str]:
    """Values that the table lets through: each of a list of words, or one of a form."""
    words = TABLE[name].pattern.split("|")
    if all(word.replace("_", "").replace("-", "").isalnum() for word in words):
        return words
    return [SAMPLES.get(name, "16")]


def rendered(spec: dict[str, Any], place: Place | None = None) -> list[str]:
    """The words for vLLM, of a Model: by way of the pod's command, as in a cluster."""
    model = a_model("qwen", **{**spec, "engine": {"type": "VLLM", **spec.get("engine", {})}})
    launch = build_launch(model, an_artifact(Format.SAFETENSORS, Task.CHAT), model_path="/models/model", port=8000)
    options = parse_arguments(launch.argv[3:])
    return render_arguments(options, task=options.task, host="::", template=None, place=place)


def test_vllm_takes_all_that_comes_out_of_our_tables() -> None:
    base = rendered({})
    entries = [(name, value) for name in TABLE for value in samples(name)]
    lines = [rendered({"engine": {"args": [f"{name}={value}"]}}) for name, value in entries if name not in _PAIRED]
    lines += [rendered({"engine": {"args": ["tool-call-parser=hermes", "enable-auto-tool-choice=true"]}})]
    own = [[*base, f"--{name}={value}"] for name, value in _OWN.items()]
    answers = parse([*lines, *map(rendered, MODELS), *own, [*base, "--no-such-argument=1"]])
    wrong = [
        (line, answer["error"])
        for line, answer in zip([*lines, *map(rendered, MODELS), *own], answers, strict=False)
        if "error" in answer
    ]
    assert wrong == []
    assert "error" in answers[-1], "a parser that takes anything would prove nothing"
    first = answers[len(lines) + 8]["parsed"]
    assert (first["max_model_len"], first["tensor_parallel_size"], first["shutdown_timeout"]) == ("131072", "8", "3")
    assert first["served_model_name"] == "['qwen']"
    assert first["load_format"] == "'safetensors'"
    assert set(_OWN) | {"task"} == set(FIELDS[EngineType.VLLM])


def test_vllm_takes_the_words_of_a_group() -> None:
    spec = {"accelerator": {"memory": "80Gi", "count": 4, "nodes": 2}, "parallel_sequences": 16}
    head, member = parse([rendered(spec, Place(rank, 2, "fd00::7", 41000)) for rank in (0, 1)])
    for rank, answer in enumerate((head, member)):
        assert "error" not in answer, answer
        found = answer["parsed"]
        assert (found["nnodes"], found["node_rank"], found["master_port"]) == ("2", str(rank), "41000")
        assert (found["master_addr"], found["distributed_executor_backend"]) == ("'fd00::7'", "'mp'")
        assert (found["tensor_parallel_size"], found["pipeline_parallel_size"]) == ("4", "2")
        assert (found["max_num_seqs"], found["load_format"]) == ("16", "'safetensors'")
        assert found["headless"] == str(rank > 0)


def test_vllm_takes_adapters_and_reads_their_names() -> None:
    artifact = Artifact(format=Format.SAFETENSORS, task=Task.AUTO)
    folders = {name: Path("/loras", name) for name in ("sql", "poem")}
    adapters = {
        name: DetectedAdapter(artifact, folder, (folder / "adapter_model.safetensors",), rank=24)
        for name, folder in folders.items()
    }
    options = parse_arguments(["--engine", "VLLM", "--model", "qwen=/models/model"])
    words = render_arguments(options, task=Task.CHAT, host="::", template=None, adapters=adapters)
    (answer,) = parse([words])
    assert "error" not in answer, answer
    found = answer["parsed"]
    assert (found["enable_lora"], found["max_lora_rank"], found["max_loras"]) == ("True", "32", "2")
    assert "name='qwen:sql', path='/loras/sql', base_model_name='qwen'" in found["lora_modules"]


_PAIRED = {"enable-auto-tool-choice"}
_OWN = {
    "convert": "embed",
    "max-model-len": "4096",
    "max-num-seqs": "8",
    "runner": "pooling",
    "pipeline-parallel-size": "2",
    "tensor-parallel-size": "2",
}
