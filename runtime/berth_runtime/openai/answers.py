"""What an engine says, checked, and the list that clients get of it; pure. Shared by rerank, classes and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from berth_api.openai_errors import ErrorCode
from berth_runtime.engines.protocol import Failure, Rows
from berth_runtime.openai.errors import ApiError


@dataclass(frozen=True)
class Envelope:
    """What stands around the parts of any answer that is a list."""

    answer_id: str
    created: int
    model: str

    def render(self, data: Sequence[object], *, prompt_tokens: int, **more: object) -> bytes:
        """The whole answer."""
        body = {"id": self.answer_id, "object": "list", "created": self.created, "model": self.model, **more}
        return render_body({**body, "data": data, "usage": render_usage(prompt_tokens)})


def render_body(body: dict[str, Any]) -> bytes:
    """JSON; numbers of float32 are written as short as they are."""
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def render_usage(prompt_tokens: int) -> dict[str, int]:
    """The usage of work that generates nothing."""
    return {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}


def read_matrix(result: Rows, *, rows: int, columns: int) -> NDArray[np.float32]:
    """`rows` x `columns` finite numbers; raises `ApiError`, as the engine's fault, if it is anything else.

    Clients sort and compare these numbers, and JSON has no word for one that is not finite.
    """
    if not columns or result.columns != columns or len(result.values) != 4 * rows * columns:
        numbers = len(result.values) // 4
        raise broken_answer(f"{numbers} numbers in rows of {result.columns}, not {rows} rows of {columns}")
    matrix = np.frombuffer(result.values, dtype="<f4").reshape(rows, columns)
    if not np.isfinite(matrix).all():
        raise broken_answer("numbers that are not finite")
    return matrix


def read_parts(form: TypeAdapter[list[Any]], said: bytes, *, count: int) -> list[Any]:
    """What an engine says of each text or picture, one by one; raises `ApiError`, as the engine's fault."""
    try:
        parts = form.validate_json(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise broken_answer(f"{first['msg']} at {where or 'its start'}") from error
    if len(parts) != count:
        raise broken_answer(f"it has {len(parts)} parts for {count} inputs")
    return parts


def broken_answer(said: str) -> ApiError:
    """The engine answered, and not in the form of `berth_runtime.engines.protocol`; to be raised."""
    return ApiError(Failure(500, ErrorCode.ENGINE_ERROR, f"The engine's answer is of no use: {said}."))
