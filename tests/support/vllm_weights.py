"""Real weights for a real vLLM: the quick start's model as safetensors, and what it says by transformers alone."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import tools
import vllm_process

CHILD = Path(__file__).with_name("vllm_weights_child.py")


def write_weights(target: Path) -> Path:
    """The folder `target` with SmolLM2 as safetensors of float32."""
    source = tools.find("smollm2")
    assert source is not None, tools.why_missing("smollm2")
    _run("write", source, target)
    return target


def reference_answers(folder: Path, questions: Sequence[Mapping[str, object]]) -> list[str]:
    """The greedy answers of the weights in a folder; see `vllm_weights_child` for what a question is."""
    answers: list[str] = json.loads(_run("answer", folder, given=json.dumps(questions)))
    return answers


def _run(*words: str | Path, given: str = "") -> str:
    done = subprocess.run(
        [vllm_process.python(), CHILD, *words],
        input=given,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
