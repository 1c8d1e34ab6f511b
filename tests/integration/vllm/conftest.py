"""Real weights for a real vLLM: the quick start's model, as safetensors."""

import os
import subprocess
from pathlib import Path

import pytest
import tools
import vllm_process


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tools.find("smollm2"), tmp_path_factory.mktemp("weights") / "smollm2"
    assert source is not None
    script = Path(__file__).with_name("make_weights.py")
    subprocess.run(
        [vllm_process.python(), script, source, target],
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stderr=subprocess.DEVNULL,
    )
    return target
