"""YAML text to plain values in which every field knows its line. Called by `berth_cli.manifests.read`.

Built on PyYAML's events, not on its constructors, because a manifest needs what those don't give: the line of each
field, duplicate keys refused, no objects by tag, and bounds on depth, size and what aliases expand to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from berth_api.field_path import render_path
from berth_cli.manifests.scalars import NotJson, Scalar, parse_plain_scalar

Value = Scalar | list["Value"] | dict[str, "Value"]

MOST_NODES = 100_000
DEEPEST = 64
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_STRUCTURE_TAGS = frozenset({None, "!", f"{_CORE}map", f"{_CORE}seq"})


class Mistake(Exception):  # noqa: N818 - becomes a Problem once the file's name is known
    """A place where the text can't be read on: `line` counts from 1."""

    def __init__(self, line: int, message: str, remedy: str = "", path: str = "") -> None:
        self.line, self.message, self.remedy, self.path = line, message, remedy, path
        super().__init__(message)


@dataclass
class Document:
    """One YAML document: its value, its first line, and the line of each path (`spec.rules[0].match`)."""

    value: Value
    line: int
    lines: dict[str, int]
    mistakes: list[Mistake] = field(default_factory=list)


@dataclass(frozen=True)
class _Node:
    """A composed value. `nodes` is its size with all aliases written out, which is what bounds them."""

    value: Value
    nodes: int


def read_documents(text: str) -> Iterator[Document]:
    """Yields the documents of `text` that are not empty; raises `Mistake` where the text stops being YAML."""
    _refuse_unprintable(text)
    composer = _Composer(text)
    while (document := composer.next_document()) is not None:
        if document.value is not None or document.mistakes:
            yield document


def line_of(lines: Mapping[str, int], path: str, default: int) -> int:
    """The line of `path`, or of the nearest field above it that was written (a missing field has no line)."""
    while path:
        if path in lines:
            return lines[path]
        path = parent_path(path)
    return default


def parent_path(path: str) -> str:
    """`spec.rules[0]` of `spec.rules[0].match`; the empty string above the first field."""
    for end, start in (('"]', '["'), ("]", "["), ("", ".")):
        if path.endswith(end):
            return path[: max(path.rfind(start), 0)]
    raise AssertionError("every path ends with the empty string")


def child_path(path: str, key: str) -> str:
    """The path of a key of a mapping, as `FieldError.path` writes it."""
    step = render_path((key,))
    return f"{path}.{step}" if path and not step.startswith("[") else f"{path}{step}"


def _refuse_unprintable(text: str) -> None:
    # libyaml reports such a character by its byte offset, which helps nobody.
    if found := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise Mistake(
            line,
            f"the character {found.group()!r} is not allowed in YAML",
            "remove it, or write it as an escape in quotes",
        )


class _Composer:
    """Turns the events of one text into documents, one after another."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._events = yaml.parse(text, Loader=_LOADER)
        self._start(line=1)

    def _start(self, line: int) -> None:
        self._anchors: dict[str, _Node | None] = {}
        self._document = Document(None, line, {})

    def next_document(self) -> Document | None:
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                first = self._next()
                self._start(_line(first))
                self._document.value = self._compose(first, "", 0).value
                self._next()
                return self._document
        return None

    def _next(self) -> yaml.Event:
        try:
            return next(self._events)
        except StopIteration:
            return yaml.StreamEndEvent()
        except yaml.MarkedYAMLError as error:
            raise _syntax_mistake(error, self._text) from error
        except (yaml.YAMLError, UnicodeError) as error:
            raise Mistake(0, f"is not YAML: {error}", "write it as UTF-8 text") from error

    def _compose(self, event: yaml.Event, path: str, depth: int) -> _Node:
        if path:
            self._document.lines.setdefault(path, _line(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if depth > DEEPEST:
            raise Mistake(_line(event), f"is nested deeper than {DEEPEST} levels", "a manifest never needs that")
        anchor = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        node = self._content(event, path, depth)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _content(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, path: str, depth: int) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            return _Node(self._scalar(event, path), 1)
        if event.tag not in _STRUCTURE_TAGS:
            raise _refused_tag(event)
        return self._sequence(path, depth) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path, depth)

    def _alias(self, event: yaml.AliasEvent) -> _Node:
        if event.anchor not in self._anchors:
            raise Mistake(
                _line(event),
                f"*{event.anchor} refers to no anchor before it",
                f"write &{event.anchor} at the value that is meant",
            )
        node = self._anchors[event.anchor]
        if node is None:
            raise Mistake(
                _line(event), f"*{event.anchor} contains itself", "a manifest can't be endless; write the value out"
            )
        return node

    def _sequence(self, path: str, depth: int) -> _Node:
        values: list[Value] = []
        nodes = 1
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            node = self._compose(event, f"{path}[{len(values)}]", depth + 1)
            values.append(node.value)
            nodes = _bounded(nodes + node.nodes, event)
        return _Node(values, nodes)

    def _mapping(self, path: str, depth: int) -> _Node:
        written: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        nodes = 1
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path)
            key_path = child_path(path, key)
            repeated = key in written
            if repeated:
                first = self._document.lines.get(key_path, 0)
                self._document.mistakes.append(
                    Mistake(_line(event), f"is written twice, first on line {first}", "keep one of the two", key_path)
                )
            elif not _is_merge(event):
                self._document.lines[key_path] = _line(event)
            node = self._compose(self._next(), key_path, depth + 1)
            nodes = _bounded(nodes + node.nodes, event)
            if _is_merge(event):
                merged = {**_merge(node.value, event), **merged}
            elif not repeated:
                written[key] = node.value
        return _Node({**merged, **written}, nodes)

    def _key(self, event: yaml.Event, path: str) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise Mistake(
                _line(event), "a key must be a word", "write `key: value`; quote text that starts with [ or {", path
            )
        if isinstance(self._scalar(event, path), str):
            return event.value
        raise Mistake(
            _line(event), f"the key {event.value or 'null'!r} is no text", f'write it in quotes: "{event.value}"', path
        )

    def _scalar(self, event: yaml.ScalarEvent, path: str) -> Scalar:
        if event.tag in {None, "!"}:
            plain = event.tag is None and event.implicit[0]
            return self._plain(event, path) if plain else event.value
        if event.tag == f"{_CORE}str":
            return event.value
        if event.tag in {f"{_CORE}{kind}" for kind in ("int", "float", "bool", "null")}:
            return self._plain(event, path)
        raise _refused_tag(event)

    def _plain(self, event: yaml.ScalarEvent, path: str) -> Scalar:
        try:
            return parse_plain_scalar(event.value)
        except NotJson as error:
            self._document.mistakes.append(Mistake(_line(event), str(error), "put text in quotes", path))
            return event.value


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _bounded(nodes: int, event: yaml.Event) -> int:
    if nodes > MOST_NODES:
        raise Mistake(_line(event), f"grows beyond {MOST_NODES} values", "use fewer aliases, or split the file")
    return nodes


def _is_merge(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]


def _merge(value: Value, event: yaml.Event) -> dict[str, Value]:
    parts = value if isinstance(value, list) else [value]
    merged: dict[str, Value] = {}
    for part in reversed(parts):
        if not isinstance(part, dict):
            raise Mistake(
                _line(event), "<< takes a mapping or a list of mappings", "point it to an anchor on a mapping"
            )
        merged.update(part)
    return merged


def _refused_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> Mistake:
    return Mistake(_line(event), f"the tag {event.tag!r} is refused", "write the value without a tag")


def _syntax_mistake(error: yaml.MarkedYAMLError, text: str) -> Mistake:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or error)
    if error.context and error.context != problem:
        problem = f"{problem} ({error.context})"
    if mark is None:
        return Mistake(0, f"is not YAML: {problem}", _syntax_remedy(problem, ""))
    lines = text.splitlines() or [""]
    line = min(mark.line, len(lines) - 1)  # What never ends is found missing below the last line.
    return Mistake(line + 1, f"is not YAML: {problem}", _syntax_remedy(problem, lines[line]))


def _syntax_remedy(problem: str, written: str) -> str:
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return "indent with spaces; YAML refuses tabs"
    if "mapping values are not allowed" in problem:
        return "put a value that contains ': ' in quotes, or check the indentation"
    if "expected ':'" in problem:
        return "write `key: value`, with a space after the colon"
    return "check the indentation, brackets and quotes there and on the line above"
