"""Everything that a vLLM is waited for comes soon."""

import pytest

from berth_runtime.vllm import middleware


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "PROVE_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(middleware, "LOOK_SECONDS", 0.01)
