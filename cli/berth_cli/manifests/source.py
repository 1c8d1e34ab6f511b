"""Where manifests come from: files, folders, pipes and standard input, read with a bound. Called by `berth up`.

A regular file or a folder can be read again when it changes, a pipe can't; so a `Source` is either a path to watch or
the text that was read once.
"""

import difflib
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from berth_cli.manifests.problem import InvalidManifests, Problem

MOST_BYTES = 4 * 1024 * 1024
_SUFFIXES = (".yaml", ".yml", ".json")


class Source(BaseModel):
    """One `-f`: `path` is absolute and watched, or `text` is what a pipe gave. `name` is what messages call it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    path: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Text:
    """The text of one file, under the name that messages use."""

    name: str
    text: str


def open_sources(arguments: Sequence[str]) -> tuple[Source, ...]:
    """Turns `-f` arguments into sources, each once. Raises `InvalidManifests` for all that can't be read."""
    sources: dict[str, Source] = {}
    problems: list[Problem] = []
    for argument in arguments:
        try:
            source = _open_source(argument)
            sources.setdefault(source.path or source.name, source)
        except _Unreadable as error:
            problems.append(error.problem)
    if problems:
        raise InvalidManifests(problems)
    return tuple(sources.values())


def read_source(source: Source) -> tuple[Text, ...]:
    """The texts of a source as they are now. Raises `InvalidManifests` where one can't be read."""
    if source.text is not None:
        return (Text(source.name, source.text),)
    try:
        return tuple(Text(name, _read_file(path, name)) for name, path in list_files(source))
    except _Unreadable as error:
        raise InvalidManifests([error.problem]) from error


def list_files(source: Source) -> list[tuple[str, Path]]:
    """The name and path of each file of a source; a folder gives its YAML and JSON files, not those of its folders."""
    if source.path is None:
        return []
    path = Path(source.path)
    if not path.is_dir():
        return [(source.name, path)]
    files = sorted(child for child in path.iterdir() if child.suffix in _SUFFIXES and child.is_file())
    return [(os.path.join(source.name, child.name), child) for child in files]


class _Unreadable(Exception):  # noqa: N818 - carries the Problem that is shown
    def __init__(self, source: str, message: str, remedy: str) -> None:
        self.problem = Problem(source, 0, "", message, remedy)
        super().__init__(message)


def _open_source(argument: str) -> Source:
    if argument == "-":
        return Source(name="stdin", text=_decode(sys.stdin.buffer.read(MOST_BYTES + 1), "stdin"))
    if "://" in argument:
        raise _Unreadable(argument, "is a URL; berth reads manifests from files", f"save it first: curl -O {argument}")
    path = Path(argument).expanduser()
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _unreadable(argument, path, error) from error
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return Source(name=argument, path=str(path.resolve()))
    return Source(name=argument, text=_read_file(path, argument))


def _read_file(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            return _decode(file.read(MOST_BYTES + 1), name)
    except OSError as error:
        raise _unreadable(name, path, error) from error


def _decode(content: bytes, name: str) -> str:
    if len(content) > MOST_BYTES:
        raise _Unreadable(
            name, f"is larger than {MOST_BYTES // 1024 // 1024} MiB", "name the manifest, not a file of weights"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _Unreadable(name, f"is no UTF-8 text (line {line})", "save it as UTF-8") from error


def _unreadable(name: str, path: Path, error: OSError) -> _Unreadable:
    if isinstance(error, FileNotFoundError):
        return _Unreadable(name, "there is no such file or folder", _suggest(path))
    return _Unreadable(name, f"can't be read: {error.strerror or error}", "check the path and its permissions")


def _suggest(path: Path) -> str:
    try:
        names = [child.name for child in path.parent.iterdir() if child.is_dir() or child.suffix in _SUFFIXES]
    except OSError:
        return f"there is no folder {path.parent} either; check the path"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else "check the path"
