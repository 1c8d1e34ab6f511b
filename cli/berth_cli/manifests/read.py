"""Texts to manifests: each object parsed by the contract, each fault with its line, all faults at once.

`read_manifests` is a pure function of texts; files are opened by `berth_cli.manifests.source`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from berth_api.errors import FieldError, InvalidSpec
from berth_api.manifest import parse_object
from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_cli.manifests.problem import InvalidManifests, Problem
from berth_cli.manifests.source import Text
from berth_cli.manifests.tree import Document, Mistake, Value, line_of, read_documents

Check = Callable[[Model | ModelRoute], Sequence[FieldError]]

_KINDS = frozenset({"Model", "ModelRoute"})
_GROUP = "berth.dev"
_SKELETON = "begin with apiVersion: berth.dev/v1alpha1, kind: Model, metadata and spec"


@dataclass(frozen=True)
class Manifest:
    """An object and where it was written; `lines` knows the line of each of its fields."""

    object: Model | ModelRoute
    source: str
    line: int
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def where(self) -> str:
        """`file:line` of the object's first line."""
        return f"{self.source}:{self.line}"

    def locate(self, error: InvalidSpec) -> str:
        """The message of an error that was found after reading, with the line of each field."""
        return "\n".join(str(_problem(self.source, one, self.lines, self.line)) for one in error.errors)

    @property
    def key(self) -> tuple[str, str]:
        """Kind and `namespace/name`: what two manifests must not share."""
        return (self.object.kind, self.object.key)


@dataclass(frozen=True)
class Reading:
    """What texts hold: manifests in the order of the texts, and notes on what was left out."""

    manifests: tuple[Manifest, ...] = ()
    notes: tuple[str, ...] = ()


def read_manifests(texts: Iterable[Text], *, check: Check = lambda _: ()) -> Reading:
    """Reads every text; `check` finds what this machine can't do.

    Raises `InvalidManifests` with all faults of all texts.
    """
    reader = _Reader(check)
    for text in texts:
        reader.read(text)
    if reader.problems:
        raise InvalidManifests(reader.problems)
    return Reading(tuple(reader.manifests.values()), tuple(reader.notes))


class _Reader:
    """Collects manifests, notes and problems over several texts."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self.manifests: dict[tuple[str, str], Manifest] = {}
        self.notes: list[str] = []
        self.problems: list[Problem] = []

    def read(self, text: Text) -> None:
        found = False
        try:
            for document in read_documents(text.text):
                found = True
                self._read_document(text.name, document)
        except Mistake as mistake:
            self._add(text.name, mistake)
            return
        if not found:
            self.problems.append(Problem(text.name, 0, "", "holds no manifest", _SKELETON))

    def _read_document(self, source: str, document: Document) -> None:
        for mistake in document.mistakes:
            self._add(source, mistake)
        value = document.value
        if isinstance(value, dict) and value.get("kind") == "List" and isinstance(items := value.get("items"), list):
            for index, item in enumerate(items):
                self._read_object(source, item, document, f"items[{index}]")
        else:
            self._read_object(source, value, document, "")

    def _read_object(self, source: str, value: Value, document: Document, root: str) -> None:
        line = line_of(document.lines, root, document.line)
        if not isinstance(value, dict):
            self.problems.append(Problem(source, line, root, f"is {_kind_of(value)}, not a manifest", _SKELETON))
        elif _is_foreign(value):
            self.notes.append(
                f"{source}:{line}: {value['kind']} ({value['apiVersion']}) is for a cluster; it is left out here"
            )
        else:
            self._parse(source, line, value, document, root)

    def _parse(self, source: str, line: int, value: Mapping[str, Value], document: Document, root: str) -> None:
        try:
            parsed = parse_object(value)
        except InvalidSpec as error:
            self._add_fields(source, error.errors, document, root, line)
            return
        lines = {path.removeprefix(f"{root}."): at for path, at in document.lines.items() if path.startswith(root)}
        manifest = Manifest(parsed, source, line, lines)
        self._add_fields(source, self._check(parsed), document, root, line)
        first = self.manifests.setdefault(manifest.key, manifest)
        if first is not manifest:
            message = f"{parsed.kind} {parsed.key} is also written at {first.where}"
            self.problems.append(
                Problem(source, line, "metadata.name", message, "give one of them another name, or remove it")
            )

    def _add_fields(self, source: str, errors: Sequence[FieldError], document: Document, root: str, line: int) -> None:
        for error in errors:
            self.problems.append(_problem(source, error, document.lines, line, root=root))

    def _add(self, source: str, mistake: Mistake) -> None:
        self.problems.append(Problem(source, mistake.line, mistake.path, str(mistake), mistake.remedy))


def _problem(source: str, error: FieldError, lines: Mapping[str, int], line: int, *, root: str = "") -> Problem:
    path = f"{root}.{error.path}" if root else error.path
    return Problem(source, line_of(lines, path, line), error.path, error.message, error.remedy)


def _is_foreign(value: Mapping[str, Value]) -> bool:
    version, kind = value.get("apiVersion"), value.get("kind")
    if not (isinstance(version, str) and isinstance(kind, str) and version and kind):
        return False
    return kind not in _KINDS and version.partition("/")[0] != _GROUP


def _kind_of(value: Value) -> str:
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else f"the plain value {str(value)[:40]!r}"
