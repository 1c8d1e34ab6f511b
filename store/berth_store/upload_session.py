"""Where an upload stands at its registry, kept so that a later process goes on with it: `ingest/<hex>.upload`.

`<hex>` stands for registry, repository and blob; the file holds the address that the registry has given for the next
request. It is kept as long as partial files are, a week, which is also how long registries keep what was not finished.
Only one process goes on with an upload: who finds it in use begins one of its own, and keeps nothing.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from yarl import URL

from berth_store import locks
from berth_store.digest import Digest
from berth_store.durable import write_atomically, writing

if TYPE_CHECKING:
    from berth_store.local import Store

KEPT_BYTES: Final = 4 * 1024 * 1024
"""What is smaller is sent again sooner than the registry is asked how much of it has come."""
_MOST_BYTES: Final = 16 * 1024
_PRIVATE: Final = 0o600
"""The address may be all that it takes to write to the upload."""


class UploadSession:
    """The address of one upload. `path` is None where nothing is to be kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> URL | None:
        """What an earlier process has left; None where there is nothing that makes sense."""
        if self._path is None:
            return None
        try:
            with self._path.open("rb") as file:
                address = URL(file.read(_MOST_BYTES).decode("ascii"), encoded=True)
        except (FileNotFoundError, ValueError):
            return None
        return address if address.absolute else None

    def keep(self, address: URL) -> None:
        """Remember where to go on."""
        if self._path is not None:
            with writing(self._path.parent.parent):
                write_atomically(self._path, str(address).encode(), scratch=self._path.parent, mode=_PRIVATE)

    def forget(self) -> None:
        """There is nothing to go on with."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


@contextmanager
def upload_session(store: "Store", registry: str, repository: str, digest: Digest) -> Iterator[UploadSession]:
    """The session of a blob's upload, which is ours until the end. The caller is `using()` the store."""
    key = hashlib.sha256(f"{registry}/{repository}@{digest}".encode()).hexdigest()
    with locks.exclusive_if_free(store.locks / key) as ours:
        yield UploadSession(store.ingest / f"{key}.upload" if ours else None)
