"""Real weights for a real vLLM: the quick start's model, as safetensors."""

from pathlib import Path

import pytest
from vllm_weights import write_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "smollm2")
