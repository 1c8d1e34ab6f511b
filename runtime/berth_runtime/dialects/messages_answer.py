"""What an engine says, as the answer of Anthropic's Messages API: a message of blocks, or its stream of events."""

from typing import Any

import orjson

from berth_api import anthropic_errors
from berth_runtime.dialects.form import TranslatedForm
from berth_runtime.dialects.pieces import Kind, Piece
from berth_runtime.engines.protocol import Failure

Json = dict[str, Any]


class MessagesForm(TranslatedForm):
    """One message. Its usage is known at its end alone, so `message_start` counts nothing, `message_delta` all."""

    def __init__(self) -> None:
        super().__init__()
        self._content: list[Json] = []
        self._said: list[str] = []
        self._has_called = False

    def write_begin(self) -> None:
        """See `TranslatedForm`."""
        self.write("message_start", {"message": self._message()})

    def begin_part(self, piece: Piece) -> None:
        """See `TranslatedForm`."""
        block = self._begun_block(piece)
        self._has_called = self._has_called or piece.kind is Kind.CALL
        self.write("content_block_start", {"index": len(self._content), "content_block": block})
        self._content.append(block)
        self._said = []

    def grow_part(self, text: str) -> None:
        """See `TranslatedForm`."""
        self._said.append(text)
        match self._content[-1]["type"]:
            case "text":
                delta = {"type": "text_delta", "text": text}
            case "thinking":
                delta = {"type": "thinking_delta", "thinking": text}
            case _:
                delta = {"type": "input_json_delta", "partial_json": text}
        self.write("content_block_delta", {"index": len(self._content) - 1, "delta": delta})

    def end_part(self, *, cut: bool) -> None:  # noqa: ARG002 - a block does not say whether it is whole
        """See `TranslatedForm`."""
        block, said = self._content[-1], "".join(self._said)
        if block["type"] == "tool_use":
            block["input"] = _read_arguments(said)
        else:
            block[block["type"]] = said
        self.write("content_block_stop", {"index": len(self._content) - 1})

    def write_end(self) -> None:
        """See `TranslatedForm`."""
        message = self.result()
        delta = {name: message[name] for name in ("stop_reason", "stop_sequence")}
        self.write("message_delta", {"delta": delta, "usage": message["usage"]})
        self.write("message_stop", {})

    def write_failure(self, failure: Failure) -> None:
        """See `TranslatedForm`."""
        body = anthropic_errors.error_body(failure.message, status=failure.status)
        self.write("error", {"error": body["error"]})

    def result(self) -> Json:
        """See `TranslatedForm`."""
        reason = self._stop_reason()
        stop = self.stop if reason == "stop_sequence" else None
        return {**self._message(), "content": self._content, "stop_reason": reason, "stop_sequence": stop}

    def _stop_reason(self) -> str:
        if self.finish == "length":
            return "max_tokens"
        if self._has_called:
            return "tool_use"
        if self.finish == "content_filter":
            return "refusal"
        return "end_turn" if self.stop is None else "stop_sequence"

    def _message(self) -> Json:
        return {
            "id": f"msg_{self.stem}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self.usage.prompt_tokens, "output_tokens": self.usage.generated_tokens},
        }

    def _begun_block(self, piece: Piece) -> Json:
        match piece.kind:
            case Kind.THINKING:
                return {"type": "thinking", "thinking": "", "signature": ""}
            case Kind.TEXT:
                return {"type": "text", "text": ""}
            case Kind.CALL:
                call_id = piece.call_id or f"toolu_{self.stem}_{len(self._content)}"
                return {"type": "tool_use", "id": call_id, "name": piece.name, "input": {}}


def _read_arguments(said: str) -> Json:
    """An object; nothing of one that was cut off in the middle, as the message's `stop_reason` says then."""
    try:
        read = orjson.loads(said)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}
