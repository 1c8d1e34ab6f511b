"""Names of models as clients give them, and models as `/v1/models` lists them; pure."""

from collections.abc import Collection
from typing import Any

from berth_api.openai_errors import ErrorCode
from berth_api.suggestions import close_words
from berth_runtime.openai.errors import refuse

Json = dict[str, Any]


def find_name(name: object, served: Collection[str]) -> str:
    """The served name that a request means; None will do where there is only one. Raises `ApiError`."""
    if name is None:
        if len(served) == 1:
            return next(iter(served))
        message = f"'model' is missing; it is one of {_listed(served)}."
        raise refuse(message, param="model", code=ErrorCode.MISSING_REQUIRED_PARAMETER)
    if not isinstance(name, str):
        raise refuse("'model' has to be a text.", param="model")
    if name not in served:
        raise refuse(_unknown(name, served), param="model", code=ErrorCode.MODEL_NOT_FOUND, status=404)
    return name


def render_model(name: str, created: int) -> Json:
    """One entry of `/v1/models`."""
    return {"id": name, "object": "model", "created": created, "owned_by": "berth"}


def _unknown(name: str, served: Collection[str]) -> str:
    close = close_words(name, served)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else f" Served here: {_listed(served)}."
    return f"The model {name[:200]!r} does not exist.{hint}"


def _listed(served: Collection[str]) -> str:
    return ", ".join(map(repr, served))
