"""What was served last, on disk, for an agent that starts while the API server is away. Used by cluster.py.

The folder belongs to the pod and outlives its containers. The file is replaced in one step: a reader finds an old state
or a new one, never a half.
"""

import asyncio
import json
import logging
import os
from pathlib import Path

from berth_gateway.served import Documents

_log = logging.getLogger(__name__)

_FORMAT = 1
PAUSE_SECONDS = 1.0
"""Between two writes: a start of many Models is hundreds of states, of which the last is wanted."""


def write_documents(path: Path, documents: Documents) -> None:
    """Replace the file by these documents. Raises OSError."""
    content = {
        "format": _FORMAT,
        "models": list(documents.models),
        "routes": list(documents.routes),
        "slices": list(documents.slices),
    }
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, separators=(",", ":"))
        file.flush()
        # Without it a node that loses power may keep the new name and not the content.
        os.fsync(file.fileno())
    fresh.replace(path)


def read_documents(path: Path) -> Documents | None:
    """The documents in the file; None where there is no file, or none that this version can read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            return None
        return Documents(tuple(content["models"]), tuple(content["routes"]), tuple(content["slices"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("the last state can't be read, so nothing is served until the API server answers: %s", error)
        return None


class Recorder:
    """Writes the newest state down, one write after the other, away from the event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest: Documents | None = None
        self._is_due = asyncio.Event()

    def record(self, documents: Documents) -> None:
        """Have this written soon."""
        self._newest = documents
        self._is_due.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._is_due.wait()
            await self.flush()
            await asyncio.sleep(PAUSE_SECONDS)

    async def flush(self) -> None:
        """Write what is due. A disk that refuses is no reason to stop routing."""
        self._is_due.clear()
        documents, self._newest = self._newest, None
        if documents is None:
            return
        try:
            await asyncio.to_thread(write_documents, self._path, documents)
        except OSError as error:
            _log.warning("the last state can't be written: %s", error)
