"""TFLite models that make vectors of texts, as the engine for texts runs them: `LitertTexts`.

Opened by `berth_runtime.engines.litert`, run by `text_scheduler`. An interpreter serves one thread at a time, so each
thread has one. It takes one text at a time, as these graphs are commonly made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from queue import LifoQueue
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from berth_runtime.engines.jobs import Interrupt, RunFailed, stop_if_told
from berth_runtime.engines.litert_graph import RUN_ERRORS, LitertGraph, Numbers, plain_words, read_header
from berth_runtime.engines.litert_memory import as_many_as_fit
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_runtime.engines.text_padding import pad
from berth_runtime.engines.text_plan import batch_limits, max_tokens
from berth_runtime.engines.text_shape import Head, OutputShape, Results, WantedOutput
from berth_runtime.engines.text_tasks import TextTask
from berth_runtime.engines.text_tokens import Tokens
from berth_store.detect.tflite_text import MASK, TextInputs, form, holds_vectors, output_name, text_inputs
from berth_store.headers.tflite import TfliteHeader, TfliteTensor

LIBRARY: Final = "LiteRT"
INPUT_TYPES: Final[Mapping[str, type[np.integer]]] = {"INT32": np.int32, "INT64": np.int64}
# With MiniLM another length costs 0.2 ms of allocation, and each token of padding 0.1 ms of computing.
LENGTH_STEP: Final = 8
# What the model is tried out with, and its memory measured, where it takes texts of any length.
TRIED_TOKENS: Final = 512


class LitertTexts:
    """The interpreters with the weights: a `TextModel`."""

    def __init__(self, settings: EngineSettings, task: TextTask) -> None:
        header = read_header(settings)
        inputs = text_inputs(header)
        assert inputs is not None, "else the task could not be done"
        output = choose_output(header, task.output)
        self.shape = OutputShape(
            output=output_name(header, output),
            width=output.signature[-1],
            masks=MASK in inputs.tensors,
            fixed_length=inputs.length,
            fixed_rows=1,
        )
        self.limits = batch_limits(self.shape)
        self._feed = TextFeed(inputs, self.shape, longest=max_tokens(settings, self.shape, task.max_sequence_length))
        self._output = output
        path = settings.model.weights[0]
        self._graphs = as_many_as_fit(
            lambda: LitertGraph(path, [output]),
            self._try_out,
            threads=settings.threads,
            memory_bytes=settings.memory_bytes,
        )
        self.threads = len(self._graphs)

    def ready(self, head: Head, padding_id: int) -> "LitertTextGraph":
        """The interpreters with what becomes of their output."""
        return LitertTextGraph(self._graphs, self._feed, self._output, head, padding_id=padding_id)

    def _try_out(self, graph: LitertGraph) -> None:
        """Run a long text, and see that the output has the form that the file declares."""
        tokens = Tokens(np.zeros(min(self._feed.longest, TRIED_TOKENS), dtype=np.int64))
        values = self._feed.padded(tokens, padding_id=0)
        try:
            found = graph.run(self._feed.by_index(values))[self._output.index]
        except RUN_ERRORS as error:
            raise LoadFailed(
                f"LiteRT can't run the model on a text of {len(tokens):,} tokens: {plain_words(error)}; set a context "
                "length that it has positions for, or convert it again"
            ) from error
        check_form(found, self._output, tokens=values[MASK].shape[1])
        self.shape = replace(self.shape, width=found.shape[-1])


class TextFeed:
    """From a text's tokens to the values of the inputs; no text has more than `longest` tokens."""

    def __init__(self, inputs: TextInputs, shape: OutputShape, *, longest: int) -> None:
        self._inputs = inputs
        self._shape = shape
        self.longest = longest

    def padded(self, tokens: Tokens, *, padding_id: int) -> Mapping[str, NDArray[np.int64]]:
        """The values of all inputs that there may be, (1, length) each."""
        return pad([tokens], padding_id, length=padded_length(len(tokens), self._shape, longest=self.longest))

    def by_index(self, values: Mapping[str, NDArray[np.int64]]) -> Mapping[int, NDArray[Any]]:
        """Those that the graph has, in its types."""
        return {
            tensor.index: np.ascontiguousarray(values[word], dtype=INPUT_TYPES[tensor.element_type])
            for word, tensor in self._inputs.tensors.items()
        }


class LitertTextGraph:
    """The interpreters, ready to run texts; as many threads may call `run` as there are interpreters."""

    def __init__(
        self, graphs: Sequence[LitertGraph], feed: TextFeed, output: TfliteTensor, head: Head, *, padding_id: int
    ) -> None:
        self._idle: LifoQueue[LitertGraph] = LifoQueue()
        for graph in graphs:
            self._idle.put(graph)
        self._feed = feed
        self._output = output
        self._head = head
        self._padding_id = padding_id

    def interrupt(self) -> Interrupt:
        """What stops a run that has not begun."""
        return Interrupt()

    def run(self, batch: Sequence[Tokens], interrupt: Interrupt) -> Results:
        """The result for the one sequence of the batch; raises `RunFailed`."""
        stop_if_told(interrupt, LIBRARY)
        (tokens,) = batch
        values = self._feed.padded(tokens, padding_id=self._padding_id)
        graph = self._idle.get()
        try:
            found = graph.run(self._feed.by_index(values))[self._output.index]
        except RUN_ERRORS as error:
            raise RunFailed(LIBRARY, plain_words(error)) from error
        finally:
            self._idle.put(graph)
        return self._head(found, values[MASK])


def padded_length(tokens: int, shape: OutputShape, *, longest: int) -> int:
    """How long a text of so many tokens is made: what the graph is made for, else up to the next step.

    Where padding can't be told from tokens, there is none; and none beyond the `longest` text, for which the graph may
    have no positions.
    """
    if shape.fixed_length is not None:
        return shape.fixed_length
    if not shape.masks:
        return tokens
    return max(tokens, min(-(-tokens // LENGTH_STEP) * LENGTH_STEP, longest))


def choose_output(header: TfliteHeader, wanted: WantedOutput) -> TfliteTensor:
    """The output to read; raises `LoadFailed` if there is none of that name and form."""
    names = {output_name(header, each): each for each in header.outputs}
    chosen = names.get(wanted.name) if wanted.name else header.outputs[0]
    if chosen is None:
        raise LoadFailed(
            f"the graph has no output {wanted.name!r}, it has {', '.join(names)}; name one of these with the engine "
            "argument output=NAME"
        )
    if not holds_vectors(chosen, wanted.dimensions):
        raise LoadFailed(
            f"the graph's output {output_name(header, chosen)} is {form(chosen)}, but "
            f"{wanted.reason}; name another with the engine argument output=NAME"
        )
    return chosen


def check_form(found: Numbers, output: TfliteTensor, *, tokens: int) -> None:
    """Raise `LoadFailed` unless `found` has the form that the file declares, for a text of so many `tokens`."""
    rows = (1,) if len(output.signature) == 2 else (1, tokens)
    width = output.signature[-1]
    if found.ndim != len(rows) + 1 or found.shape[:-1] != rows or width not in (-1, found.shape[-1]):
        raise LoadFailed(
            f"of a text of {tokens:,} tokens the graph gives {list(found.shape)}, and {form(output)} is declared; "
            "convert it again"
        )
