"""The answer to one request, as OpenAI writes it, whole or event by event: `Answer`, with a `Part` for each text.

Called by the thread of `berth_runtime.engines.decoder_batch` as it writes.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from berth_runtime.engines.decoder_requests import Wanted
from berth_runtime.engines.decoder_text import TextWriter
from berth_runtime.engines.protocol import Failure, Reply, Usage
from berth_runtime.engines.written import render_usage

Json = dict[str, Any]


class Answer:
    """One reply; it ends with the last of its parts. A failure of one is the end of all."""

    def __init__(self, reply: Reply, wanted: Wanted, *, prompt_tokens: int, writers: Sequence[TextWriter]) -> None:
        self._reply = reply
        self._wanted = wanted
        self._kind = "chat.completion" if wanted.chat else "text_completion"
        self._head = {
            "id": f"{'chatcmpl' if wanted.chat else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": wanted.body["model"],
        }
        self.parts = [Part(self, index, writer) for index, writer in enumerate(writers)]
        self._left = len(self.parts)
        self._prompt_tokens = prompt_tokens
        self._generated_tokens = 0
        self._failed = False

    @property
    def gone(self) -> bool:
        """True once nobody waits for any of the parts."""
        return self._failed or self._reply.gone

    def say(self, part: "Part", text: str, reason: str | None) -> None:
        """An event of a stream."""
        if not self._wanted.stream or self.gone:
            return
        kind = self._kind
        choice: Json = {"index": part.index, "logprobs": None, "finish_reason": reason}
        if self._wanted.chat:
            kind += ".chunk"
            choice["delta"] = ({} if part.has_spoken else {"role": "assistant"}) | (
                {"content": text} if text or not part.has_spoken else {}
            )
        else:
            choice["text"] = text
        part.has_spoken = True
        self._send(kind, [choice])

    def end(self, tokens: int) -> None:
        """A part has ended after so many tokens."""
        self._generated_tokens += tokens
        self._left -= 1
        if self._left or self._failed:
            return
        usage = Usage(self._prompt_tokens, self._generated_tokens)
        if not self.gone:
            if not self._wanted.stream:
                self._send(self._kind, [part.whole(chat=self._wanted.chat) for part in self.parts], usage)
            elif self._wanted.include_usage:
                self._send(self._kind + (".chunk" if self._wanted.chat else ""), [], usage)
        self._reply.finish(usage)

    def fail(self, failure: Failure) -> None:
        """A part can't be written, so none is."""
        if not self._failed:
            self._failed = True
            self._reply.fail(failure)

    def _send(self, kind: str, choices: list[Json], usage: Usage | None = None) -> None:
        told = {} if usage is None else {"usage": render_usage(usage)}
        self._reply.chunk(orjson.dumps({**self._head, "object": kind, "choices": choices, **told}))


class Part:
    """One text of an answer; `berth_runtime.engines.decoder_batch.Writes` says what each method is for."""

    def __init__(self, answer: Answer, index: int, writer: TextWriter) -> None:
        self.index = index
        self.has_spoken = False
        self._answer = answer
        self._writer = writer
        self._said: list[str] = []
        self._reason: str | None = None

    @property
    def gone(self) -> bool:
        """True once nobody waits for the answer."""
        return self._answer.gone

    def write(self, token: int) -> bool:
        """Take a token; true where a stop word has come."""
        text, stopped = self._writer.write(token)
        self._say(text)
        return stopped

    def end(self, reason: str, tokens: int) -> None:
        """Say the rest, and why it is the end."""
        if reason != "gone":
            self._reason = reason
            self._say(self._writer.rest(), reason)
        self._answer.end(tokens)

    def fail(self, failure: Failure) -> None:
        """Nothing more comes."""
        self._answer.fail(failure)

    def whole(self, *, chat: bool) -> Json:
        """The choice of an answer that is no stream."""
        text = "".join(self._said)
        said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        return {"index": self.index, **said, "logprobs": None, "finish_reason": self._reason}

    def _say(self, text: str, reason: str | None = None) -> None:
        self._said.append(text)
        if text or reason:
            self._answer.say(self, text, reason)
