"""llama.cpp's answers made into OpenAI's, chunk by chunk. Used by `engines.llamacpp`; pure.

Every generation runs as a stream, also for a plain answer: only a stream can be cancelled, and only a stream says how
many tokens each of several choices took. A chunk of text goes through untouched and unread. The last chunks of each
choice carry usage: they are read, taken out, and said once at the end, summed, if the client asked.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from berth_runtime.engines.protocol import Failure, Usage
from berth_runtime.engines.written import context_exceeded, render_usage

Json = dict[str, Any]

_EVENT: Final = b'{"choices":'
_ERROR: Final = b'{"error"'
# A quote inside a JSON string is escaped, so these bytes are always the key.
_USAGE: Final = b'"usage":{'
_NAMED_FIELD: Final = re.compile(r"Field '(\w+)':")
# Of an input that has to be worked on at once, by an encoder; the error has no type of its own.
_TOO_LARGE: Final = re.compile(r"input \((\d+) tokens\) is too large to process\. .*batch size: (\d+)\)")
# What a template says by its own words, such as that roles have to alternate; the rest is a listing of its code.
_TEMPLATE: Final = re.compile(r"Jinja Exception: ([^\n]*)")
_NOTHING: Final = b"null"  # what a text completion starts with


class ChoiceWriter(Protocol):
    """Rewrites what llama.cpp says of one request to OpenAI's form."""

    def rewrite(self, choices: list[Json]) -> None:
        """Change the choices of an event in place; if none is left, the client gets nothing of the event."""
        ...


@dataclass
class ChunkReader:
    """Reads one stream of chunks: what the client gets of each, and at the end the usage or the failure.

    `prompts` is the number of prompts in the request, `choices` how many answers each has: a prompt is read once for
    all of its choices, so its tokens count once. llama.cpp calls itself by the model's name, whatever it was asked for:
    `rename` says the name that stands there and the one that should.
    """

    prompts: int = 1
    choices: int = 1
    writer: ChoiceWriter | None = None
    rename: tuple[str, str] | None = None
    failure: Failure | None = None
    _events: int = 0
    _prompt_tokens: int = 0
    _generated_tokens: int = 0
    _sent: bytes = b""
    _last: Json = field(default_factory=dict)

    def read(self, chunk: bytes) -> bytes | None:
        """What the client gets of a chunk, None for nothing."""
        self._events += 1
        if self.rename is not None:
            chunk = rename_model(chunk, *self.rename)
        if chunk.startswith(_EVENT) and _USAGE not in chunk and self.writer is None:
            self._sent = chunk
            return chunk
        return self._read_special(chunk)

    def _read_special(self, chunk: bytes) -> bytes | None:
        if chunk == _NOTHING:
            return None
        if chunk.startswith(_ERROR):
            self.failure = translate_error(orjson.loads(chunk)["error"])
            return None
        event: Json = orjson.loads(chunk)
        self._take_usage(event)
        if not event["choices"]:
            return None
        if self.writer is not None:
            self.writer.rewrite(event["choices"])
            if not event["choices"]:
                return None
        self._sent = orjson.dumps(event)
        return self._sent

    @property
    def has_spoken(self) -> bool:
        """True once there was something for the client."""
        return bool(self._sent)

    @property
    def usage(self) -> Usage:
        """Tokens of the whole request; of one that was cut short, the events that were seen."""
        return Usage(self._prompt_tokens // self.choices, self._generated_tokens or self._events)

    def usage_event(self) -> bytes:
        """The last event of a stream whose client asked for usage; only after something `has_spoken`."""
        last = self._last or orjson.loads(self._sent)
        kept = {key: last[key] for key in ("id", "object", "created", "model", "system_fingerprint")}
        return orjson.dumps({**kept, "choices": [], "usage": render_usage(self.usage)})

    def _take_usage(self, event: Json) -> None:
        event.pop("timings", None)
        usage = event.pop("usage", None)
        if usage is not None:
            self._prompt_tokens += usage["prompt_tokens"]
            self._generated_tokens += usage["completion_tokens"]
            self._last = event


def rename_model(chunk: bytes, old: str, new: str) -> bytes:
    """The chunk with another model's name; a quote inside a text is escaped, so only the field can look like this."""
    return chunk.replace(b'"model":' + orjson.dumps(old), b'"model":' + orjson.dumps(new))


def translate_refusal(message: str) -> Failure:
    """The OpenAI error for a request that llama.cpp does not take, blamed on the field that its words give away."""
    named = _NAMED_FIELD.search(message)
    if named is not None:
        return Failure(400, "invalid_value", message, named[1])
    template = _TEMPLATE.search(message)
    if template is not None:
        why = f"The model's chat template refuses these messages: {template[1]}"
        return Failure(400, "invalid_value", why, "messages")
    if "Failed to load image" in message:
        return Failure(400, "invalid_image", "A picture can't be decoded; it is damaged or cut off.", "messages")
    if "invalid tokens" in message:
        return Failure(400, "invalid_value", "The prompt has a token id that this model does not know.", "prompt")
    if "schema" in message.lower() or "grammar" in message.lower():
        return Failure(400, "invalid_value", message, "response_format")
    return Failure(400, "invalid_request", message)


def translate_error(error: Json) -> Failure:
    """The OpenAI error for one that llama.cpp returned."""
    kind, message = str(error.get("type", "")), str(error.get("message", "the engine gave no reason"))
    if kind == "exceed_context_size_error":
        return context_exceeded(int(error["n_prompt_tokens"]), int(error["n_ctx"]))
    too_large = _TOO_LARGE.match(message)
    if too_large is not None:
        return context_exceeded(int(too_large[1]), int(too_large[2]))
    status = int(error.get("code", 500))
    if status == 400:
        return translate_refusal(message)
    return Failure(501 if status == 501 else 500, "engine_error", message)
