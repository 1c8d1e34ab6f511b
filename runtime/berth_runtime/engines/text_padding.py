"""From sequences of different lengths to the rectangles that a model takes: `pad`. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np

from berth_runtime.engines.text_tokens import TokenIds, Tokens


def pad(
    batch: Sequence[Tokens], padding_id: int, *, rows: int | None = None, length: int | None = None
) -> Mapping[str, TokenIds]:
    """The values of all inputs that there may be, (rows, length) each, padded on the right.

    By default there are as many rows as sequences, and as many columns as the longest one has tokens.
    """
    shape = (rows or len(batch), length or max(map(len, batch)))
    ids = np.full(shape, padding_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    types = np.zeros(shape, dtype=np.int64)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens.ids
        mask[row, : len(tokens)] = 1
        if tokens.types is not None:
            types[row, : len(tokens)] = tokens.types
    places = np.broadcast_to(np.arange(shape[1]), shape)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "position_ids": places}
