"""The fields of a request in another API, read by its table; pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from berth_api.openai_errors import ErrorCode
from berth_runtime.openai.checks import Field
from berth_runtime.openai.errors import ApiError, refuse
from berth_runtime.openai.prompts import MAX_MESSAGES

Json = dict[str, Any]


def read_fields(body: Json, fields: Mapping[str, Field], *subject: str) -> tuple[Json, tuple[str, ...]]:
    """The fields besides `model` and the `subject`, and the names of those that nobody knows; raises `ApiError`.

    Fields without effect are left out.
    """
    given: Json = {}
    ignored: list[str] = []
    for name, value in body.items():
        if name == "model" or name in subject or value is None:
            continue
        known = fields.get(name)
        if known is None:
            ignored.append(name)
        elif not known.accepts(value):
            raise refuse(f"{name!r} has to be {known.expects}.", param=name)
        elif not known.served:
            if value not in known.neutral:
                raise unsupported(name, known.remedy)
        elif not known.inert and value not in known.absent:
            given[name] = value
    return given, tuple(ignored)


def require_object(value: object, path: str) -> Json:
    """An object; raises `ApiError` with its path."""
    if not isinstance(value, dict):
        raise refuse(f"'{path}' has to be an object.", param=path)
    return value


def each_object(values: list[object], path: str, noun: str) -> Iterator[tuple[str, Json]]:
    """The objects of a conversation, each with its path; raises `ApiError` for too many, or for one that is none."""
    if len(values) > MAX_MESSAGES:
        raise refuse(f"'{path}' has {len(values)} {noun}, at most {MAX_MESSAGES} are taken.", param=path)
    for index, value in enumerate(values):
        yield f"{path}[{index}]", require_object(value, f"{path}[{index}]")


def require_list(value: object, path: str) -> list[object]:
    """A list; raises `ApiError` with its path."""
    if not isinstance(value, list):
        raise refuse(f"'{path}' has to be a list.", param=path)
    return value


def require_text(value: object, path: str, *, empty: bool = True) -> str:
    """A text; raises `ApiError` with its path."""
    if not isinstance(value, str) or not (value or empty):
        raise refuse(f"'{path}' has to be a text{'' if empty else ' that is not empty'}.", param=path)
    return value


def unsupported(path: str, remedy: str) -> ApiError:
    """What is known and not served, to be raised."""
    return refuse(f"'{path}' is not supported here. {remedy}", param=path, code=ErrorCode.UNSUPPORTED_PARAMETER)


def unsupported_content(path: str, kind: str, remedy: str) -> ApiError:
    """A kind of content that no model here takes, to be raised; `path` is that of its type."""
    return refuse(f"'{path}' is {kind[:100]!r}. {remedy}", param=path, code=ErrorCode.UNSUPPORTED_CONTENT)
