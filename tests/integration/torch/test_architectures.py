"""Every architecture that is served by Torch unasked gives the answers of transformers itself, batched and padded."""

import pytest
from torch_python import Compared

from berth_api.artifact import EngineType, Format, Task
from berth_api.engines import SERVED

pytestmark = [pytest.mark.torch, pytest.mark.needs("torch"), pytest.mark.timeout(900)]

ARCHITECTURES = SERVED[EngineType.TORCH].architectures[Format.SAFETENSORS]
TEXT_TASKS = (Task.EMBEDDING, Task.RERANK, Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION)


def test_what_is_compared_is_what_is_served_unasked(compared: Compared) -> None:
    assert {architecture for architecture, _ in compared.report} == ARCHITECTURES
    of_texts = {architecture for architecture, task in compared.report if task == Task.EMBEDDING}
    assert {(each, task) for each in of_texts for task in TEXT_TASKS} <= set(compared.report)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_its_answers_are_those_of_transformers(compared: Compared, architecture: str) -> None:
    lines = [line for (name, _), line in compared.report.items() if name == architecture]
    assert lines
    for line in lines:
        assert "error" not in line, line.get("trace")
        assert line["difference"] < 1e-5, line["task"]
