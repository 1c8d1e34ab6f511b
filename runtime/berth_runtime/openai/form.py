"""How the answer to one request is written: whole, or as server-sent events; pure. An engine says the same for all."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import error_body

DONE: Final = b"data: [DONE]\n\n"

Render = Callable[[bytes], bytes]


class AnswerForm(Protocol):
    """One answer. A stream is `events` as its chunks come, then `end`, or `broken` in its place.

    Chunks are what engines say: the JSON of a whole answer, or of one event.
    """

    def whole(self, answer: bytes) -> bytes:
        """The body of a plain answer."""
        ...

    def events(self, chunks: Iterable[bytes]) -> bytes:
        """Chunks as events, in one piece; there is an event for the first chunk, others may have none."""
        ...

    def end(self) -> bytes:
        """What ends a stream that is whole."""
        ...

    def broken(self, failure: Failure) -> bytes:
        """What ends one that is not; the connection is cut after it."""
        ...


class OpenAiForm:
    """What engines say is OpenAI's form already; `render` changes the whole answer, or each event."""

    def __init__(self, render: Render | None = None) -> None:
        self._render = render

    def whole(self, answer: bytes) -> bytes:
        """See `AnswerForm`."""
        return answer if self._render is None else self._render(answer)

    def events(self, chunks: Iterable[bytes]) -> bytes:
        """See `AnswerForm`."""
        if self._render is not None:
            chunks = map(self._render, chunks)
        return b"".join([frame_event(chunk) for chunk in chunks])

    def end(self) -> bytes:
        """See `AnswerForm`."""
        return DONE

    def broken(self, failure: Failure) -> bytes:
        """See `AnswerForm`."""
        return frame_event(error_body(failure))


OPENAI: Final[AnswerForm] = OpenAiForm()


def frame_event(data: bytes) -> bytes:
    """One server-sent event; JSON has no line breaks."""
    return b"data: %b\n\n" % data
