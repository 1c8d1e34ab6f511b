"""One request on its way through vLLM's own routes: its answer is held back until it has begun, and watched to its end.

The head goes out with the first event, as with every engine here: what fails before is a status that a gateway can
retry. What fails later gets an error event and a connection that is cut, which is what uvicorn does with an answer that
its application left without an end.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from berth_api.openai_errors import ErrorCode
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.form import DONE, OPENAI
from berth_runtime.openai.parameters import IGNORED_HEADER
from berth_runtime.routes.streams import STREAM_HEADERS
from berth_runtime.vllm.answers import NO_WORD, find_failure, split_events, translate_error
from berth_runtime.vllm.asgi import Application, Message, Receive, Scope, Send, call_scope, head, send_whole
from berth_runtime.vllm.requests import Call

CLIENT_LEFT: Final = 499
_BUG: Final = Failure(500, ErrorCode.INTERNAL_ERROR, "The server failed on this request; its log has the reason.")
_DONE_DATA: Final = b"[DONE]"

log = logging.getLogger(__name__)


class Relay:
    """One call. `on_first` is called when its answer begins; `explain` may know a failure better than vLLM does."""

    def __init__(
        self,
        call: Call,
        receive: Receive,
        send: Send,
        *,
        on_first: Callable[[], None],
        explain: Callable[[Failure], Failure],
    ) -> None:
        self._call = call
        self._explain = explain
        self._receive = receive
        self._send = send
        self._on_first = on_first
        self._asked = False
        self._status = 0
        self._body = b""
        self._begun = False
        self._whole = False
        self._left = False
        self._failure: Failure | None = None
        self._task: asyncio.Task[None] | None = None

    async def run(self, app: Application, scope: Scope) -> int:
        """Have vLLM answer; the status that the client got. Raises `ApiError` where it got nothing yet."""
        self._task = asyncio.ensure_future(
            _as_coroutine(app, call_scope(scope, self._call.path, self._call.body), self.take, self.give)
        )
        try:
            await asyncio.wait({self._task})
        finally:
            self._task.cancel()
        if self._left:
            return CLIENT_LEFT
        failure = self._failure or (None if self._whole else self._why_not_whole(self._task))
        if failure is None:
            return 200
        failure = self._call.blame(self._explain(failure))
        if not self._begun:
            raise ApiError(failure)
        await self._send({"type": "http.response.body", "body": self._call.form.broken(failure), "more_body": True})
        return 200  # and no end: the connection is cut

    def cut(self, failure: Failure) -> None:
        """End it now, with an error."""
        if self._failure is None and not self._whole:
            self._failure = failure
            if self._task is not None:
                self._task.cancel()

    async def take(self) -> Message:
        """What vLLM receives: the body, then the client's leaving if that comes."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._call.body, "more_body": False}
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._whole:
            self._left = True  # after a whole answer it says no more than that there will be no other
        return message

    async def give(self, message: Message) -> None:
        """What vLLM sends."""
        if self._failure is not None or self._left:
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "http.response.body":
            body, more = message.get("body", b""), message.get("more_body", False)
            if self._call.stream and self._status == 200:
                await self._give_events(body, more=more)
            else:
                await self._give_whole(body, more=more)

    async def _give_whole(self, body: bytes, *, more: bool) -> None:
        self._body += body
        if more:
            return
        if self._status != 200:
            self._failure = translate_error(self._status, self._body)
            return
        answer = self._call.form.whole(self._body)
        self._whole = True
        self._on_first()
        await send_whole(self._send, 200, answer, {"content-type": "application/json", **self._ignored()})

    async def _give_events(self, chunk: bytes, *, more: bool) -> None:
        failure = find_failure(chunk)
        if failure is not None:
            self.cut(failure)
            return
        if chunk:
            self._whole = self._whole or DONE in chunk
            await self._begin()
            written = self._written(chunk)
            if written:
                await self._send({"type": "http.response.body", "body": written, "more_body": True})
        if not more and self._whole:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._on_first()
            await self._send(head(200, {**STREAM_HEADERS, **self._ignored()}))

    def _written(self, chunk: bytes) -> bytes:
        """What is OpenAI's form already is not looked at."""
        form = self._call.form
        if form is OPENAI:
            return chunk
        said = [data for data in split_events(chunk) if data]
        events = form.events(data for data in said if data != _DONE_DATA)
        return events + form.end() if _DONE_DATA in said else events

    def _ignored(self) -> dict[str, str]:
        names = [name for name in self._call.ignored if name.isascii() and name.isprintable()]
        return {IGNORED_HEADER: ", ".join(names)[:500]} if names else {}

    def _why_not_whole(self, task: asyncio.Task[None]) -> Failure:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return NO_WORD
        log.error("vLLM failed", exc_info=error, extra={"path": self._call.path})
        return _BUG


async def _as_coroutine(app: Application, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)
