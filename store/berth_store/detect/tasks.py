"""From a class name in `config.json` to a task. Pure; used for ONNX and safetensors."""

from berth_api.artifact import Task

_TASKS_BY_SUFFIX = (
    ("ForTokenClassification", Task.TOKEN_CLASSIFICATION),
    ("ForImageClassification", Task.IMAGE_CLASSIFICATION),
    ("ForObjectDetection", Task.OBJECT_DETECTION),
)
_GENERATIVE_SUFFIXES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
TEXT_TASKS = frozenset(
    {Task.EMBEDDING, Task.RERANK, Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.CHAT, Task.COMPLETION}
)
CLASSIFIER_TASKS = frozenset(
    {Task.RERANK, Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.IMAGE_CLASSIFICATION}
)
PICTURE_TASKS = frozenset({Task.IMAGE_CLASSIFICATION, Task.OBJECT_DETECTION, Task.TEXT_RECOGNITION})
GENERATIVE_TASKS = frozenset({Task.CHAT, Task.COMPLETION})


def is_generative(architecture: str | None) -> bool:
    """Whether a model of this class writes text."""
    return architecture is not None and architecture.endswith(_GENERATIVE_SUFFIXES)


def task_of_labels(count: int, *, compares_pairs: bool) -> Task:
    """The task of a model with a score for each label of a text.

    One label means a score, so such a model ranks; so does one that says of itself that it compares pairs, if its two
    labels are no and yes.
    """
    return Task.RERANK if count == 1 or (count == 2 and compares_pairs) else Task.TEXT_CLASSIFICATION


def task_of_class(
    architecture: str | None, *, label_count: int, chat: bool, compares_pairs: bool = False
) -> Task | None:
    """The task of a model of this class; None where the class does not say it.

    `ForConditionalGeneration` stands for translators and for vision-language chat alike: only a chat template tells.
    """
    if architecture is None:
        return None
    if architecture.endswith("ForSequenceClassification"):
        return task_of_labels(label_count, compares_pairs=compares_pairs)
    for suffix, task in _TASKS_BY_SUFFIX:
        if architecture.endswith(suffix):
            return task
    if not is_generative(architecture):
        return None
    if chat:
        return Task.CHAT
    return None if architecture.endswith("ForConditionalGeneration") else Task.COMPLETION
