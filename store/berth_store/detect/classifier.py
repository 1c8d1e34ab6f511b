"""How a model that gives classes or scores wants to be run: `classifier_settings`, from its folder."""

from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.model import ClassifierSettings, Problem
from berth_store.detect.sentence import max_sequence_length
from berth_store.headers.onnx import OnnxValue


def classifier_settings(folder: ModelFolder, logits: OnnxValue | None = None) -> ClassifierSettings:
    """What `config.json` and the tokenizer's settings say; `logits` is the graph's output, where there is a graph."""
    stated = config.text(folder.json("config.json"), "problem_type")
    return ClassifierSettings(
        problem=Problem(stated) if stated in tuple(Problem) else Problem.SINGLE_LABEL,
        max_sequence_length=max_sequence_length(folder),
        output=logits.name if logits else None,
    )
