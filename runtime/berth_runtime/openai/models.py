"""Names of models as clients give them, and models as `/v1/models` lists them; pure."""

from collections.abc import Collection
from typing import Any, Final

from berth_api.openai_errors import ErrorCode
from berth_api.suggestions import close_words
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError, refuse

ADAPTER_RETRY_SECONDS: Final = 5
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


def await_adapter(name: str, served: Collection[str]) -> None:
    """Raise `ApiError` where the gateway asks for an adapter that a served model is still to get.

    It knows the manifest, so there is such an adapter, and it comes with the pods of the newest revision. A 503 sends
    the gateway on to one of those, or the client away for a moment; a 404 would tell him that he is wrong.
    """
    model, colon, adapter = name.partition(":")
    if colon and name not in served and model in served:
        message = f"The adapter {adapter!r} of {model!r} is not here yet: it comes with the model's next revision."
        failure = Failure(503, ErrorCode.MODEL_LOADING, message, "model")
        raise ApiError(failure, retry_after_seconds=ADAPTER_RETRY_SECONDS)


def render_model(name: str, created: int) -> Json:
    """One entry of `/v1/models`."""
    return {"id": name, "object": "model", "created": created, "owned_by": "berth"}


def _unknown(name: str, served: Collection[str]) -> str:
    close = close_words(name, served)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else f" Served here: {_listed(served)}."
    return f"The model {name[:200]!r} does not exist.{hint}"


def _listed(served: Collection[str]) -> str:
    return ", ".join(map(repr, served))
