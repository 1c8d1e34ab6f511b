"""What a model for texts takes and says, in types that every library fills in: `OutputShape`, `Head`. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.int64]

Results = Floats | Sequence[Floats]
"""One for each sequence: the rows of a matrix, or what may differ in length."""

Head = Callable[[Floats, Mask], Results]
"""From the model's output for a batch, and the mask (1 is a token, 0 padding), to a result for each sequence."""


@dataclass(frozen=True, kw_only=True)
class WantedOutput:
    """The output to read: its name (None is the first), its number of dimensions, and why it has to have that."""

    name: str | None
    dimensions: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class OutputShape:
    """What is known of a loaded model, checked: the output that is read, the size of its last dimension.

    A `fixed_length` or `fixed_rows` is a size that it was exported for. Where padding can't be told from tokens (it
    does not `mask`), it would change a result, so then only sequences of one length share a batch.
    """

    output: str
    width: int
    masks: bool = True
    fixed_length: int | None = None
    fixed_rows: int | None = None
