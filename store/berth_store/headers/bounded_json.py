"""Small JSON files of a model's folder, read within bounds: `read_json`, used by detection and by the readers.

Size, depth and the number of values are bounded before Python builds anything, and a key that stands twice is refused:
two readers could take it for different things.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.headers.file import open_regular
from berth_store.headers.reads import read_at

Json = Mapping[str, "Json"] | list["Json"] | str | int | float | bool | None

MAX_JSON_BYTES = 16 << 20
MAX_DEPTH = 64
MAX_VALUES = 1 << 20
# A string may lack its end, or each of its escaped quotes would begin a search of its own to the end of the file.
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)


class _DuplicateKeyError(ValueError):
    pass


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """The bytes of a regular file that may have `most_bytes`."""
    descriptor = open_regular(path)
    try:
        content = read_at(path, descriptor, min(os.fstat(descriptor).st_size, most_bytes) + 1, 0)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise UnsupportedModel(
            f"{path.name} has more than {most_bytes:,} bytes, and no real one does; remove it or fetch it again"
        )
    return content


def read_json(path: Path, *, most_bytes: int = MAX_JSON_BYTES, most_values: int = MAX_VALUES) -> Json:
    """The value in a JSON file; `UnsupportedModel` says why there is none."""
    return parse_json(read_bounded(path, most_bytes), path.name, most_values=most_values)


def parse_json(content: bytes, name: str, *, most_values: int = MAX_VALUES) -> Json:
    """The value of a JSON text; `name` says whose, for the error."""
    try:
        _check_structure(content, most_values)
        value: Json = json.loads(content.decode("utf-8"), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise UnsupportedModel(f"{name} is no JSON that can be used: {error}; fetch it again or repair it") from error
    return value


def unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """The object of these pairs; a key that stands twice is a ValueError."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    raise _DuplicateKeyError(f"the key {twice!r} stands in it twice")


def _check_structure(content: bytes, most_values: int) -> None:
    depth = values = 0
    for match in _STRUCTURE.finditer(content):
        mark = match.group()
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        values += mark[:1] != b'"'
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
        if values > most_values:
            raise ValueError(f"it has more than {most_values:,} values")
