"""A model's folder as detection sees it: its own regular files, and its JSON and text files, read within bounds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.headers.bounded_json import Json, read_bounded, read_json
from berth_store.headers.folder import is_own_file

MAX_ENTRIES = 10_000
MAX_TEMPLATE_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelFolder:
    """The folder at `root`. Links that lead out of it, FIFOs and devices count as absent; `skipped` names them.

    `owner` is the model's whole folder where this is one below it.
    """

    root: Path
    owner: Path | None = None

    @cached_property
    def _entries(self) -> tuple[list[Path], list[str]]:
        """The files of the folder itself, and the names of the entries that were passed over as not its own."""
        try:
            with os.scandir(self.root) as entries:
                visible = [each for each in islice(entries, MAX_ENTRIES + 1) if not each.name.startswith(".")]
        except OSError as error:
            raise UnsupportedModel(f"{self.root} can't be read: {error.strerror}; check the path") from error
        if len(visible) > MAX_ENTRIES:
            raise UnsupportedModel(f"{self.root} has more than {MAX_ENTRIES:,} entries; name the model's own folder")
        own = [self.root / each.name for each in visible if is_text(each.name)]
        own = [path for path in own if is_own_file(self.owner or self.root, path)]
        names = {path.name for path in own}
        skipped = [ascii(each.name) for each in visible if each.name not in names and not each.is_dir()]
        return sorted(own), sorted(skipped)

    @property
    def files(self) -> list[Path]:
        """The folder's own files, sorted; hidden ones are left out."""
        return self._entries[0]

    @property
    def skipped(self) -> list[str]:
        """Names of links that lead out of the folder, FIFOs and devices."""
        return self._entries[1]

    def file(self, name: str) -> Path | None:
        """The folder's own file of this name, which may lie in a folder below."""
        path = self.root / name
        return path if is_own_file(self.root, path) else None

    def files_in(self, name: str) -> list[Path]:
        """The own files of a folder below, sorted; none if there is no such folder."""
        below = self.root / name
        if below.is_symlink() or not below.is_dir():
            return []
        return ModelFolder(below, owner=self.root).files

    def json(self, name: str) -> Mapping[str, Json]:
        """The JSON object in this file; empty if there is no such file."""
        path = self.file(name)
        value = read_json(path) if path else {}
        if not isinstance(value, Mapping):
            raise UnsupportedModel(f"{name} holds no JSON object; fetch it again or repair it")
        return value

    def text(self, name: str) -> str | None:
        """The text in this file; None if there is no such file."""
        path = self.file(name)
        if path is None:
            return None
        try:
            return read_bounded(path, MAX_TEMPLATE_BYTES).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnsupportedModel(f"{name} is not UTF-8 text; fetch it again or repair it") from error


def is_text(name: str) -> bool:
    """Whether the name can be written as UTF-8; a name of other bytes can't be told to anyone."""
    return name.isprintable()
