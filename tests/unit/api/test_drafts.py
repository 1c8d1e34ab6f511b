"""Which draft model may guess for which model."""

import pytest
from model_builders import an_artifact

from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.drafts import check_draft
from berth_api.errors import InvalidSpec

GUESSES = an_artifact(task=Task.COMPLETION)


@pytest.mark.parametrize("task", [Task.CHAT, Task.COMPLETION])
def test_a_gguf_may_guess_for_one_that_writes_text(task: Task) -> None:
    check_draft(EngineType.LLAMA_CPP, an_artifact(task=task), GUESSES)


@pytest.mark.parametrize(
    ("engine", "base", "draft", "says"),
    [
        (EngineType.VLLM, an_artifact(Format.SAFETENSORS), GUESSES, "spec.draft: a draft model is for LlamaCpp, and"),
        (EngineType.LLAMA_CPP, an_artifact(task=Task.EMBEDDING), GUESSES, "the task of this one is Embedding"),
        (
            EngineType.LLAMA_CPP,
            an_artifact(),
            an_artifact(Format.SAFETENSORS),
            "spec.draft.source: the draft model is Safetensors, and LlamaCpp loads GGUF; name one in GGUF",
        ),
    ],
)
def test_what_can_not_guess_is_told_by_its_field(
    engine: EngineType, base: Artifact, draft: Artifact, says: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        check_draft(engine, base, draft)
    assert says in str(refused.value)
