"""One graph that writes text, with the keys and values of all its texts: `DecoderGraph`.

The cache of each layer is one array with a row for each text, which the graph reads and writes in place. A run covers
some rows: one that reads a prompt, or all up to the last that writes. Driven by one thread,
`berth_runtime.engines.decoder_batch`, and by that alone.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from berth_runtime.engines.decoder_sampling import Logits
from berth_store.detect import DecoderSettings

Integers = NDArray[np.int64]

NUMBERS: Final[dict[str, type[np.floating]]] = {"F32": np.float32, "F16": np.float16}


class DecoderGraph:
    """`rows` texts of up to `context_length` tokens. Memory is taken as texts grow, for nobody writes to it before."""

    def __init__(
        self, session: onnxruntime.InferenceSession, settings: DecoderSettings, *, rows: int, context_length: int
    ) -> None:
        self.rows = rows
        self.context_length = context_length
        self._session = session
        self._settings = settings
        self._type = NUMBERS[settings.cache_type]
        self._shape = (settings.kv_heads, context_length, settings.head_size)
        pasts = (*settings.past_keys, *settings.past_values)
        presents = (*settings.present_keys, *settings.present_values)
        self._cache = [
            (past, present, np.zeros((rows, *self._shape), self._type))
            for past, present in zip(pasts, presents, strict=True)
        ]
        self._bindings: dict[tuple[int, int], onnxruntime.IOBinding] = {}

    def read(self, row: int, start: int, tokens: Sequence[int]) -> Logits:
        """Read a piece of a prompt, of which `start` tokens are read already; the logits after its last token."""
        ends = np.array([start + len(tokens)])
        logits: Logits = self._run(row, np.array([tokens], np.int64), ends)[0]
        return logits

    def step(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """Go on by one token in the first rows, each of which has so many tokens already; a row of logits for each."""
        return self._run(0, np.array(tokens, np.int64)[:, None], np.array(lengths) + 1)

    def copy(self, source: int, target: int, length: int) -> None:
        """Have a row begin with the first tokens of another, as if it had read them itself."""
        for _, _, cache in self._cache:
            cache[target, :, :length] = cache[source, :, :length]

    def _run(self, first: int, tokens: Integers, ends: Integers) -> Logits:
        """A run of rows from `first` on; `ends` are their lengths with these tokens."""
        count, width = tokens.shape
        positions = np.arange(int(ends.max()))
        binding = self._binding(first, count)
        binding.bind_cpu_input(self._settings.tokens, tokens)
        binding.bind_cpu_input(self._settings.mask, (positions < ends[:, None]).astype(np.int64))
        if self._settings.positions is not None:
            binding.bind_cpu_input(self._settings.positions, ends[:, None] - width + np.arange(width))
        binding.bind_output(self._settings.logits, "cpu")
        self._session.run_with_iobinding(binding)
        logits: NDArray[np.floating] = binding.get_outputs()[0].numpy()
        last: Logits = logits[:, -1].astype(np.float32, copy=False)
        return last

    def _binding(self, first: int, count: int) -> onnxruntime.IOBinding:
        """The cache of these rows bound to the graph: what it reads and what it writes are the same memory."""
        known = self._bindings.get((first, count))
        if known is not None:
            return known
        binding = self._session.io_binding()
        binding.bind_output(self._settings.logits, "cpu")  # the first output that is bound is the first to be had
        shape = (count, *self._shape)
        for past, present, cache in self._cache:
            address = cache[first:].ctypes.data
            binding.bind_input(past, "cpu", 0, self._type, shape, address)
            binding.bind_output(present, "cpu", 0, self._type, shape, address)
        return self._bindings.setdefault((first, count), binding)
