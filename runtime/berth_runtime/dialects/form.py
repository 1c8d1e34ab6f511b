"""How an answer is written in another API: the order of things that all such forms share. See `openai.form.AnswerForm`.

An answer is parts one after another: each is begun, grows, and ends before the next begins. A form says what that looks
like. The answer's id is the chat's, so that an engine's log and a client's speak of the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import orjson

from berth_runtime.dialects.pieces import Kind, Piece, Said, Usage, read_said
from berth_runtime.engines.protocol import Failure

Json = dict[str, Any]


class TranslatedForm(ABC):
    """One answer as it comes; used for one request."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.finish: str | None = None
        self.stop: str | None = None
        self.model = ""
        self.created = 0
        self.stem = ""
        self._begun = False
        self._part: tuple[Kind, int] | None = None
        self._events: list[bytes] = []

    def whole(self, answer: bytes) -> bytes:
        """See `AnswerForm`."""
        self._take(read_said(answer))
        self._end_part()
        return orjson.dumps(self.result())

    def events(self, chunks: Iterable[bytes]) -> bytes:
        """See `AnswerForm`."""
        for chunk in chunks:
            self._take(read_said(chunk))
        return self._written()

    def end(self) -> bytes:
        """See `AnswerForm`."""
        self._end_part()
        self.write_end()
        return self._written()

    def broken(self, failure: Failure) -> bytes:
        """See `AnswerForm`."""
        self.write_failure(failure)
        return self._written()

    def write(self, kind: str, event: Json) -> None:
        """Put an event of a stream into line."""
        self._events.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **event})))

    @abstractmethod
    def write_begin(self) -> None:
        """The answer begins."""

    @abstractmethod
    def begin_part(self, piece: Piece) -> None:
        """A part begins; the letters of its first piece come by `grow_part`."""

    @abstractmethod
    def grow_part(self, text: str) -> None:
        """The part goes on with more letters, never with none."""

    @abstractmethod
    def end_part(self, *, cut: bool) -> None:
        """The part is whole, or `cut` because there was no room for more."""

    @abstractmethod
    def write_end(self) -> None:
        """The answer is whole."""

    @abstractmethod
    def write_failure(self, failure: Failure) -> None:
        """The answer ends here, for this reason."""

    @abstractmethod
    def result(self) -> Json:
        """The answer as one object."""

    def _take(self, said: Said) -> None:
        if not self._begun:
            self._begun = True
            self.model, self.created = said.model, said.created
            self.stem = said.answer_id.removeprefix("chatcmpl-")
            self.write_begin()
        for piece in said.pieces:
            if piece.part != self._part:
                self._end_part()
                self._part = piece.part
                self.begin_part(piece)
            if piece.text:
                self.grow_part(piece.text)
        if said.usage is not None:
            self.usage = said.usage
        if said.finish is not None:
            self.finish, self.stop = said.finish, said.stop
            self._end_part()

    def _end_part(self) -> None:
        if self._part is not None:
            self._part = None
            self.end_part(cut=self.finish == "length")

    def _written(self) -> bytes:
        events, self._events = b"".join(self._events), []
        return events
