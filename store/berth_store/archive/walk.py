"""From an archive's entries to the files that count: names, kinds and quotas, by one set of rules for all callers.

`Census` judges entries as they come, before a byte of their content is looked at. `walk` goes through a stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from berth_store.archive.kinds import MODEL_FOLDERS, Scope
from berth_store.archive.streams import Stream, check_expansion
from berth_store.archive.tar import BLOCK_BYTES, FILE, FOLDER, Extension, Member, TarError, TarHeaders
from berth_store.names import folded, name_fault

# As many files as detection looks at in a folder.
MAX_FILES = 10_000
NO_END = "it ends without the mark of its end, so it may be cut off"
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


@dataclass
class Census:
    """What was met in an archive of `packed_bytes` bytes. Raises `TarError` that names the first entry to be refused.

    `removed` and `emptied` are what an image's layer takes away of those below it: names, and folders' contents.
    """

    scope: Scope
    packed_bytes: int
    removed: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _bytes: int = 0

    def takes(self, member: Member) -> bool:
        """Whether the entry is a file that counts; its name is clean then, and fits into the quotas."""
        if self.scope is Scope.MODELS and not _is_of_models(member.name):
            return False
        if member.name == "." and member.kind is FOLDER:
            return False
        fault = name_fault(member.name)
        if fault:
            raise TarError(f"the name {member.name[:120]!r} {fault}")
        if member.kind is FOLDER:
            return False
        if member.kind is not FILE:
            raise TarError(f"the entry {member.name[:120]!r} is {member.kind}, and only files and folders are unpacked")
        if self._is_whiteout(member.name):
            return False
        self._count(member)
        return True

    def _is_whiteout(self, name: str) -> bool:
        parent, _, base = name.rpartition("/")
        if base == OPAQUE:
            self.emptied.append(parent)
        elif base.startswith(WHITEOUT):
            self.removed.append(_hidden_by(name))
        else:
            return False
        if len(self.removed) + len(self.emptied) > MAX_FILES:
            raise TarError(f"it takes away more than {MAX_FILES:,} files")
        return True

    def _count(self, member: Member) -> None:
        key = folded(member.name)
        if key in self._names:
            raise TarError(f"the name {member.name[:120]!r} stands in it twice, perhaps in other letters")
        self._names.add(key)
        if len(self._names) > MAX_FILES:
            raise TarError(f"it has more than {MAX_FILES:,} files")
        self._bytes += member.size
        check_expansion(self._bytes, self.packed_bytes)


def walk(stream: Stream, census: Census) -> Iterator[Member]:
    """The files that count, each when its content comes next: the caller reads all of it before it asks for more."""
    headers = TarHeaders()
    while True:
        block = stream.exactly(BLOCK_BYTES)
        if not block:
            raise TarError(NO_END)
        step = headers.header(block)
        match step:
            case None:
                stream.drain()
                return
            case Extension():
                headers.extend(stream.exactly(step.padded_bytes)[: step.size])
            case Member():
                if census.takes(step):
                    yield step
                    stream.skip(step.padded_bytes - step.size)
                else:
                    stream.skip(step.padded_bytes)


def _is_of_models(name: str) -> bool:
    """Whether the name is, is in, or takes away (as a whiteout) a folder where models lie."""
    base = name.rpartition("/")[2]
    if base.startswith(WHITEOUT):
        gone = name.rpartition("/")[0] if base == OPAQUE else _hidden_by(name)
        return any(not gone or _is_within(gone, folder) or _is_within(folder, gone) for folder in MODEL_FOLDERS)
    return any(_is_within(name, folder) for folder in MODEL_FOLDERS)


def _hidden_by(whiteout: str) -> str:
    """The name that a whiteout takes away."""
    parent, _, base = whiteout.rpartition("/")
    hidden = base.removeprefix(WHITEOUT)
    if hidden in {"", ".", ".."}:
        raise TarError(f"the whiteout {whiteout[:120]!r} names nothing")
    return f"{parent}/{hidden}" if parent else hidden


def _is_within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")
