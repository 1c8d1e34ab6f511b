"""What an engine says, as the answer of OpenAI's Responses API: an object of items, or its stream of named events.

The events and their fields are those of `openai.types.responses`; numbers in `sequence_number` have no gaps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from berth_runtime.dialects.form import TranslatedForm
from berth_runtime.dialects.pieces import Kind, Piece
from berth_runtime.engines.protocol import Failure

Json = dict[str, Any]


@dataclass
class _Item:
    """The item that is being written."""

    kind: Kind
    head: Json
    index: int
    said: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.said)

    def as_json(self, status: str) -> Json:
        """The item as it is now."""
        item = {**self.head, "status": status}
        if self.kind is Kind.CALL:
            return {**item, "arguments": self.text}
        return {**item, "content": [_part(self.kind, self.text)] if status != "in_progress" else []}


def _part(kind: Kind, text: str) -> Json:
    if kind is Kind.THINKING:
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


_EVENTS: Final[Mapping[Kind, str]] = {
    Kind.THINKING: "response.reasoning_text",
    Kind.TEXT: "response.output_text",
    Kind.CALL: "response.function_call_arguments",
}


class ResponsesForm(TranslatedForm):
    """`echo` are the fields of the request that the answer repeats."""

    def __init__(self, echo: Json) -> None:
        super().__init__()
        self._echo = echo
        self._output: list[Json] = []
        self._item: _Item | None = None
        self._number = 0

    def write_begin(self) -> None:
        """See `TranslatedForm`."""
        self._tell("response.created", response=self._response("in_progress"))
        self._tell("response.in_progress", response=self._response("in_progress"))

    def begin_part(self, piece: Piece) -> None:
        """See `TranslatedForm`."""
        index = len(self._output)
        item = self._item = _Item(piece.kind, self._head(piece, index), index)
        self._tell("response.output_item.added", output_index=index, item=item.as_json("in_progress"))
        if piece.kind is not Kind.CALL:
            self._tell("response.content_part.added", **self._place(item), part=_part(piece.kind, ""))

    def grow_part(self, text: str) -> None:
        """See `TranslatedForm`."""
        item = self._item
        assert item is not None
        item.said.append(text)
        more: Json = {"logprobs": []} if item.kind is Kind.TEXT else {}
        self._tell(_EVENTS[item.kind] + ".delta", **self._place(item), delta=text, **more)

    def end_part(self, *, cut: bool) -> None:
        """See `TranslatedForm`."""
        item, self._item = self._item, None
        assert item is not None
        whole = item.as_json("incomplete" if cut else "completed")
        self._output.append(whole)
        done, place = _EVENTS[item.kind] + ".done", self._place(item)
        if item.kind is Kind.CALL:
            self._tell(done, **place, arguments=item.text)
        else:
            more: Json = {"logprobs": []} if item.kind is Kind.TEXT else {}
            self._tell(done, **place, text=item.text, **more)
            self._tell("response.content_part.done", **place, part=_part(item.kind, item.text))
        self._tell("response.output_item.done", output_index=item.index, item=whole)

    def write_end(self) -> None:
        """See `TranslatedForm`."""
        response = self.result()
        self._tell("response." + response["status"], response=response)

    def write_failure(self, failure: Failure) -> None:
        """See `TranslatedForm`. Clients know few codes here, and the reason stands in the message."""
        if self._item is not None:
            self._output.append(self._item.as_json("incomplete"))
        error = {"code": "server_error", "message": failure.message}
        self._tell("response.failed", response={**self._response("failed"), "error": error})

    def result(self) -> Json:
        """See `TranslatedForm`."""
        if not self._output:  # a model that said nothing said an empty message
            self.begin_part(Piece(Kind.TEXT, ""))
            self.end_part(cut=self.finish == "length")
        reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(self.finish or "")
        response = self._response("incomplete" if reason else "completed")
        if reason:
            response["incomplete_details"] = {"reason": reason}
        prompt, generated = self.usage.prompt_tokens, self.usage.generated_tokens
        response["usage"] = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": generated,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + generated,
        }
        return response

    def _response(self, status: str) -> Json:
        return {
            "id": f"resp_{self.stem}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": self._output,
            "usage": None,
            **self._echo,
        }

    def _head(self, piece: Piece, index: int) -> Json:
        match piece.kind:
            case Kind.THINKING:
                return {"id": f"rs_{self.stem}_{index}", "type": "reasoning", "summary": []}
            case Kind.TEXT:
                return {"id": f"msg_{self.stem}_{index}", "type": "message", "role": "assistant"}
            case Kind.CALL:
                call_id = piece.call_id or f"call_{self.stem}_{index}"
                item_id = f"fc_{self.stem}_{index}"
                return {"id": item_id, "type": "function_call", "call_id": call_id, "name": piece.name}

    def _place(self, item: _Item) -> Json:
        place = {"item_id": item.head["id"], "output_index": item.index}
        return place if item.kind is Kind.CALL else {**place, "content_index": 0}

    def _tell(self, kind: str, **event: object) -> None:
        self.write(kind, {"sequence_number": self._number, **event})
        self._number += 1
