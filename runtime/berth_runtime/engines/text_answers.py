"""Where the results of one request's inputs are collected until the answer is complete.

Each class is an `Answer` of `berth_runtime.engines.text_scheduler`.
"""

from collections.abc import Sequence

import numpy as np
import orjson

from berth_runtime.engines.protocol import Reply, Rows, Usage
from berth_runtime.engines.text_entities import Aggregation, Entity, entities_of
from berth_runtime.engines.text_shape import Floats
from berth_runtime.engines.text_tokens import Tokens


class RowsAnswer:
    """A matrix with a row for each input."""

    def __init__(self, count: int) -> None:
        self._rows: list[Floats | None] = [None] * count

    def keep(self, index: int, tokens: Tokens, result: Floats) -> None:  # noqa: ARG002 - the protocol
        """Keep a row."""
        self._rows[index] = result

    def send(self, reply: Reply, prompt_tokens: int) -> None:
        """Answer with the matrix."""
        rows = [row for row in self._rows if row is not None]
        reply.rows(Rows(np.stack(rows).astype("<f4", copy=False).tobytes(), len(rows[0]), prompt_tokens))


class EntitiesAnswer:
    """JSON with the entities of each input."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str], aggregation: Aggregation) -> None:
        self._texts = texts
        self._labels = labels
        self._aggregation = aggregation
        self._entities: list[list[Entity]] = [[] for _ in texts]

    def keep(self, index: int, tokens: Tokens, result: Floats) -> None:
        """Find the entities of one text."""
        text = self._texts[index]
        self._entities[index] = entities_of(text, tokens.spans, result, self._labels, self._aggregation)

    def send(self, reply: Reply, prompt_tokens: int) -> None:
        """Answer with all of them."""
        reply.chunk(orjson.dumps(self._entities))
        reply.finish(Usage(prompt_tokens))
