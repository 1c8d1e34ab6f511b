"""`/v1/classify`, in vLLM's form: texts as a whole get the probability of each class, tokens become entities; pure.

    {"model", "input": "text" or ["text", …]}
    → {"id", "object": "list", "created", "model", "labels", "data": [{"index", "label", "probs", "num_classes"}, …],
       "usage"}
    or, where the model's task is TokenClassification,
    → {…, "data": [{"index", "entities": [{"label", "score", "start", "end", "text"}, …]}, …], "usage"}

`labels` is ours: vLLM leaves it to the client to know which class a probability belongs to, and where several may hold
at once the best one alone says little. Source: vllm/entrypoints/pooling/classify/protocol.py.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from pydantic import Field as Bounds
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from berth_runtime.engines.protocol import Rows
from berth_runtime.openai.answers import Envelope, broken_answer, read_matrix, read_parts
from berth_runtime.openai.checks import WHO_ASKS, Field, inert, unserved
from berth_runtime.openai.errors import refuse
from berth_runtime.openai.prompts import read_list, read_text

# Fewer than elsewhere: a text may become as many entities as it has words, and all of them stand in one answer.
MAX_TEXTS: Final = 256

FIELDS: Final[Mapping[str, Field]] = {
    **WHO_ASKS,
    "priority": inert(),
    "messages": unserved(),
    "add_special_tokens": unserved(True),
    "truncate_prompt_tokens": unserved(),
    "mm_processor_kwargs": unserved({}),
    "use_activation": unserved(True),  # what comes back are probabilities
    "activation": unserved(True),
    "softmax": unserved(True),
}

Score = Annotated[float, Bounds(ge=0, le=1)]


@dataclass(frozen=True)
class Entity:
    """A span of one input: `start` and `end` are offsets in characters, `text` is what stands between them."""

    label: str
    score: Score
    start: Annotated[int, Bounds(ge=0)]
    end: Annotated[int, Bounds(ge=0)]
    text: str


_ENTITIES: Final = TypeAdapter(list[list[Entity]])


def read_texts(value: object) -> tuple[str, ...]:
    """The texts to classify; raises `ApiError` with the wrong one's index."""
    if isinstance(value, str):
        return (read_text(value, "input"),)
    if not isinstance(value, list):
        raise refuse("'input' has to be a text or a list of texts.", param="input")
    return tuple(
        read_text(text, f"input[{index}]") for index, text in enumerate(read_list(value, "input", most=MAX_TEXTS))
    )


def render_classes(result: Rows, labels: Sequence[str], *, texts: int, envelope: Envelope) -> bytes:
    """The answer for texts as a whole: of each the likeliest class, and the probability of every class."""
    matrix = read_matrix(result, rows=texts, columns=len(labels))
    data = [
        {"index": index, "label": labels[best], "probs": probabilities, "num_classes": len(labels)}
        for index, (probabilities, best) in enumerate(zip(matrix, matrix.argmax(axis=1).tolist(), strict=True))
    ]
    return envelope.render(data, prompt_tokens=result.prompt_tokens, labels=list(labels))


def render_entities(said: bytes, texts: Sequence[str], *, prompt_tokens: int, envelope: Envelope) -> bytes:
    """The answer for tokens, from the engine's list of entities for each text."""
    found = read_parts(_ENTITIES, said, count=len(texts))
    for index, (entities, text) in enumerate(zip(found, texts, strict=True)):
        if any(not entity.start <= entity.end <= len(text) for entity in entities):
            raise broken_answer(f"an entity that lies outside of input[{index}]")
    data = [{"index": index, "entities": entities} for index, entities in enumerate(found)]
    return envelope.render(data, prompt_tokens=prompt_tokens)
