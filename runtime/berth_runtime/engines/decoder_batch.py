"""Many texts written at once by one thread: `Batch`. Requests join and leave between two steps.

Each text has a row of the cache from the moment that its prompt is read. One prompt is read at a time, a piece between
two steps of the others, and what another row has read already (of the same chat, or of the same instructions) is copied
and not read again. A step covers all rows up to the last one in use, so the lowest free row is taken.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final, Protocol

from berth_runtime.engines.decoder_sampling import Logits, NoToken
from berth_runtime.engines.protocol import Failure

# Copying fewer tokens than this saves nothing.
MIN_SHARED_TOKENS: Final = 16
UNUSED_TOKEN: Final = 0


class Graph(Protocol):
    """What `decoder_graph.DecoderGraph` does."""

    @property
    def rows(self) -> int:
        """How many texts there is room for."""
        ...

    @property
    def context_length(self) -> int:
        """The most tokens of a row."""
        ...

    def read(self, row: int, start: int, tokens: Sequence[int]) -> Logits:
        """Read a piece of a prompt; the logits after its last token."""
        ...

    def step(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """Go on by one token in the first rows; what is written behind the length of a row does no harm."""
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Have a row begin as another does."""
        ...


class Chooses(Protocol):
    """What `decoder_sampling.Sampler` does."""

    def choose(self, logits: Logits) -> int:
        """The next token; raises `NoToken` where there is none."""
        ...


class Writes(Protocol):
    """Where the tokens of one text go, and where it is heard of that nobody waits for it."""

    @property
    def gone(self) -> bool:
        """True once nobody waits."""
        ...

    def write(self, token: int) -> bool:
        """Take a token; true where the text has come to its end by it."""
        ...

    def end(self, reason: str, tokens: int) -> None:
        """The text has ended: `stop`, `length` or `gone`, after so many tokens."""
        ...

    def fail(self, failure: Failure) -> None:
        """The text can't be written."""
        ...


@dataclass(eq=False)
class Text:
    """One text to be written: it goes on from `prompt` by at most `most` tokens, or up to one of `ends`."""

    prompt: list[int]
    most: int
    ends: frozenset[int]
    chooser: Chooses
    writer: Writes
    written: int = 0


@dataclass(eq=False)
class _Row:
    """A row of the cache: the tokens whose keys and values are in it, and the text that it belongs to.

    What a text leaves behind stays, for the next one may begin alike. `token` is the one that comes next.
    """

    number: int
    tokens: list[int] = field(default_factory=list)
    text: Text | None = None
    token: int = UNUSED_TOKEN
    writes: bool = False

    def free(self) -> None:
        """Its text has ended."""
        self.text, self.writes, self.token = None, False, UNUSED_TOKEN


class Batch:
    """All texts of one model. `read_tokens` is the longest piece of a prompt."""

    def __init__(self, graph: Graph, *, read_tokens: int) -> None:
        self._graph = graph
        self._read_tokens = read_tokens
        self._rows = [_Row(number) for number in range(graph.rows)]
        self._new: SimpleQueue[Sequence[Text]] = SimpleQueue()
        self._waiting: deque[Text] = deque()
        self._reading: _Row | None = None

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._work, name="texts", daemon=True).start()

    def add(self, texts: Sequence[Text]) -> None:
        """Write these texts, when it is their turn; from any thread."""
        self._new.put(texts)

    def _work(self) -> None:
        while True:
            self.turn()

    def turn(self) -> None:
        """Do what is next: wait for texts if there are none, else read a piece and write a token of each."""
        is_idle = not self._waiting and all(row.text is None for row in self._rows)
        while is_idle or not self._new.empty():
            self._waiting.extend(self._new.get())
            is_idle = False
        self._let_go()
        self._seat()
        self._read()
        self._write()

    def _let_go(self) -> None:
        """End what nobody waits for."""
        for row in self._rows:
            if row.text is not None and row.text.writer.gone:
                self._end(row, "gone")
        for text in [each for each in self._waiting if each.writer.gone]:
            self._waiting.remove(text)
            text.writer.end("gone", 0)

    def _seat(self) -> None:
        """Give the next text a row, once no other prompt is being read."""
        row = next((row for row in self._rows if row.text is None), None)
        if self._reading is not None or row is None or not self._waiting:
            return
        text = self._waiting.popleft()
        most = len(text.prompt) - 1  # the last one is read in any case: its logits are what comes next
        shared, source = max(
            ((min(shared_length(each.tokens, text.prompt), most), each) for each in self._rows),
            key=lambda found: (found[0], found[1] is row),
        )
        if shared < MIN_SHARED_TOKENS:
            shared = 0
        elif source is not row:
            self._graph.copy(source.number, row.number, shared)
        row.tokens, row.text = text.prompt[:shared], text
        self._reading = row

    def _read(self) -> None:
        row = self._reading
        if row is None or row.text is None:
            return
        start = len(row.tokens)
        piece = row.text.prompt[start : start + self._read_tokens]
        logits = self._graph.read(row.number, start, piece)
        row.tokens += piece
        if len(row.tokens) == len(row.text.prompt):
            self._reading, row.writes = None, True
            self._take(row, logits)

    def _write(self) -> None:
        writing = [row for row in self._rows if row.writes]
        if not writing:
            return
        covered = self._rows[: writing[-1].number + 1]
        for row in covered:
            if not row.writes:
                # A token of no text is written behind what is there; it needs room, and the next one writes over it.
                del row.tokens[self._graph.context_length - 1 :]
        logits = self._graph.step([row.token for row in covered], [len(row.tokens) for row in covered])
        for row in writing:
            row.tokens.append(row.token)
            self._take(row, logits[row.number])

    def _take(self, row: _Row, logits: Logits) -> None:
        """Choose the next token of a row, and end its text where it is the last."""
        text = row.text
        assert text is not None
        try:
            row.token = text.chooser.choose(logits)
        except NoToken as error:
            text.writer.fail(Failure(500, "engine_error", f"{error}; take another model, or build this one again."))
            row.free()
            return
        text.written += 1
        if row.token in text.ends or text.writer.write(row.token):
            self._end(row, "stop")
        elif text.written >= text.most:
            self._end(row, "length")

    def _end(self, row: _Row, reason: str) -> None:
        text = row.text
        assert text is not None
        if self._reading is row:
            self._reading = None
        row.free()
        text.writer.end(reason, text.written)


def shared_length(first: list[int], second: list[int]) -> int:
    """How many tokens at the beginning are the same; by halving, for lists are compared fast."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
