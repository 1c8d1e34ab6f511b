"""What an ONNX graph is for, by the names and shapes of its inputs and outputs. Pure; detection of ONNX models asks."""

from collections.abc import Callable
from dataclasses import dataclass

from berth_api.artifact import Task
from berth_store.detect.graph_names import LOGIT_NAMES, TEXT_VECTOR_NAMES, TOKEN_VECTOR_NAMES, TOKENS_NAME
from berth_store.detect.onnx_vision import CHARSET_KEY, ultralytics_task
from berth_store.detect.tasks import is_generative, task_of_class, task_of_labels
from berth_store.headers.onnx import OnnxHeader, OnnxValue

CACHE_PREFIXES = ("past_key_values", "past.")


@dataclass(frozen=True)
class GraphFacts:
    """All that the decision rests on."""

    header: OnnxHeader
    architecture: str | None
    label_count: int
    chat_template: str | None
    has_pooling: bool
    compares_pairs: bool = False

    @property
    def takes_text(self) -> bool:
        """Whether the graph tokenizes by itself."""
        return any(value.element_type == "STRING" for value in self.header.inputs)

    @property
    def takes_tokens(self) -> bool:
        """Whether the graph works on the numbers of tokens."""
        return self.takes_text or any(value.name == TOKENS_NAME for value in self.header.inputs)

    @property
    def takes_pictures(self) -> bool:
        """Whether an input is a batch of pictures: four dimensions."""
        return any(value.rank == 4 and not value.name.startswith(CACHE_PREFIXES) for value in self.header.inputs)

    @property
    def keeps_cache(self) -> bool:
        """Whether the graph is a step of text generation."""
        return any(value.name.startswith(CACHE_PREFIXES) for value in self.header.inputs)


def text_vector(header: OnnxHeader) -> OnnxValue | None:
    """The output that is the text's own vector."""
    return _output(header, TEXT_VECTOR_NAMES, rank=2)


def token_vectors(header: OnnxHeader) -> OnnxValue | None:
    """The output with a vector for each token."""
    return _output(header, TOKEN_VECTOR_NAMES, rank=3)


def logits(header: OnnxHeader) -> OnnxValue | None:
    """The output with a score for each class."""
    return _output(header, LOGIT_NAMES, rank=None)


def stated_task(facts: GraphFacts) -> Task | None:
    """The task by the first rule that knows it, or None where the files leave it open."""
    return next((task for rule in _RULES if (task := rule(facts)) is not None), None)


def _by_text_vector(facts: GraphFacts) -> Task | None:
    return Task.EMBEDDING if text_vector(facts.header) is not None else None


def _by_generation(facts: GraphFacts) -> Task | None:
    """A cache among the inputs, or the class of a language model, means text generation."""
    if not facts.keeps_cache and not (logits(facts.header) and is_generative(facts.architecture)):
        return None
    return Task.CHAT if facts.chat_template else Task.COMPLETION


def _by_boxes(facts: GraphFacts) -> Task | None:
    return Task.OBJECT_DETECTION if logits(facts.header) and facts.header.output("pred_boxes") else None


def _by_class(facts: GraphFacts) -> Task | None:
    if logits(facts.header) is None:
        return None
    return task_of_class(
        facts.architecture,
        label_count=_width(facts),
        chat=bool(facts.chat_template),
        compares_pairs=facts.compares_pairs,
    )


def _by_logits(facts: GraphFacts) -> Task | None:
    """One row of scores for each text or picture; a single score ranks."""
    scores = logits(facts.header)
    if scores is None or scores.rank != 2:
        return None
    if facts.takes_tokens and _width(facts):
        return task_of_labels(_width(facts), compares_pairs=facts.compares_pairs)
    return Task.IMAGE_CLASSIFICATION if facts.takes_pictures else None


def _by_token_vectors(facts: GraphFacts) -> Task | None:
    known = token_vectors(facts.header) is not None and facts.takes_tokens and facts.has_pooling
    return Task.EMBEDDING if known else None


def _by_charset(facts: GraphFacts) -> Task | None:
    """Recognisers of text carry their characters in the metadata."""
    return Task.TEXT_RECOGNITION if facts.takes_pictures and CHARSET_KEY in facts.header.metadata else None


def _by_exporter(facts: GraphFacts) -> Task | None:
    """Ultralytics writes the task into the metadata."""
    return ultralytics_task(facts.header)


def _by_row_of_pictures(facts: GraphFacts) -> Task | None:
    """One row for each picture, whatever its name, with a number for each label of the settings."""
    outputs = facts.header.outputs
    if not facts.takes_pictures or len(outputs) != 1 or outputs[0].rank != 2 or not outputs[0].dims:
        return None
    return Task.IMAGE_CLASSIFICATION if facts.label_count and outputs[0].dims[1] == facts.label_count else None


_RULES: tuple[Callable[[GraphFacts], Task | None], ...] = (
    _by_text_vector,
    _by_generation,
    _by_boxes,
    _by_class,
    _by_logits,
    _by_token_vectors,
    _by_charset,
    _by_exporter,
    _by_row_of_pictures,
)


def _width(facts: GraphFacts) -> int:
    """Number of labels: the graph's own word, else that of config.json."""
    scores = logits(facts.header)
    width = scores.dims[-1] if scores and scores.dims else None
    return width if isinstance(width, int) else facts.label_count


def _output(header: OnnxHeader, names: tuple[str, ...], *, rank: int | None) -> OnnxValue | None:
    """The output of one of these names; a rank that is stated has to be the one wanted."""
    for name in names:
        value = header.output(name)
        if value is not None and (rank is None or value.rank in (None, rank)):
            return value
    return None
