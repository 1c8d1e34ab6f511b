"""A real vLLM that embeds: the task becomes vLLM's runner, and the vectors are those of the model."""

import base64
import json
from pathlib import Path

import numpy as np
import openai
import pytest
import tools
from vllm_process import a_vllm

pytestmark = [pytest.mark.vllm, pytest.mark.needs("vllm", "minilm"), pytest.mark.timeout(900)]

REFERENCE = json.loads((tools.REPOSITORY / "tests/reference/minilm.json").read_text())


def test_embeddings_are_the_models_own(tmp_path: Path) -> None:
    weights = tools.find("minilm")
    assert weights is not None
    cases = [case for case in REFERENCE["cases"] if case["text"] and case["tokens"] < REFERENCE["max_tokens"]][:6]
    wanted = np.array([np.frombuffer(base64.b64decode(case["vector"]), dtype="<f4") for case in cases])
    settings = ("--task", "Embedding", "--engine-arg", "enforce-eager=true", "--engine-arg", "dtype=float32")
    with a_vllm(weights.parent, tmp_path, *settings, name="minilm") as server:
        print(f"ready after {server.wait_ready():.0f} s")
        client = openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)
        answer = client.embeddings.create(model="minilm", input=[case["text"] for case in cases])
        found = np.array([each.embedding for each in answer.data])
        assert np.sum(found * wanted, axis=1) == pytest.approx(1, abs=0.001)
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.create(model="minilm", messages=[{"role": "user", "content": "x"}])
        assert refused.value.code == "operation_not_supported"
