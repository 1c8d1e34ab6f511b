"""The control socket of a running instance: manifests come in, views go out, `stop` stops. Served by `laptop.run`.

The socket lies in a folder that only its user can enter; that is all its protection, as with Docker's rootless socket.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from berth_api.errors import BerthError
from berth_cli.failure import exit_code_of, failure_text
from berth_cli.laptop.latest import Latest
from berth_cli.laptop.messages import LONGEST_LINE_BYTES, REQUESTS, Answer, Apply, Changed, Refused, Taken
from berth_cli.laptop.view import View
from berth_cli.manifests.source import Source

# Views change with each chunk of a download; a terminal shows no more than this.
SHORTEST_INTERVAL_SECONDS = 0.1
REQUEST_SECONDS = 10.0


class Service(Protocol):
    """What the socket commands."""

    @property
    def views(self) -> Latest[View]: ...  # noqa: D102

    def apply(self, sources: tuple[Source, ...]) -> int:
        """Takes manifests over and returns their revision. Raises `BerthError` and changes nothing otherwise."""
        ...

    def stop(self) -> None: ...  # noqa: D102


class ControlServer:
    """Listens on a Unix socket for as long as it is open."""

    def __init__(self, path: Path, service: Service, version: str) -> None:
        self._path = path
        self._service = service
        self._version = version
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listens. A socket file that a crash left is replaced: whoever calls this holds the lock."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._path, limit=LONGEST_LINE_BYTES)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Ends all connections and removes the socket."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # A client that leaves is no event: it may have seen enough.
            with suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
                await self._converse(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await asyncio.wait_for(reader.readline(), REQUEST_SECONDS)
        try:
            first = self._carry_out(line)
        except (BerthError, ValidationError) as error:
            await _send(writer, Refused(message=failure_text(error), exit_code=exit_code_of(error)))
            return
        if first is not None:
            await _send(writer, first)
        async for view in self._service.views.follow():
            await _send(writer, Changed(view=view))
            await asyncio.sleep(SHORTEST_INTERVAL_SECONDS)

    def _carry_out(self, line: bytes) -> Answer | None:
        request = REQUESTS.validate_json(line)
        if not isinstance(request, Apply):
            self._service.stop()
            return None
        if request.version != self._version:
            raise BerthError(
                f"the berth that runs is version {self._version}, this one is {request.version}.\n"
                "Stop it with `berth down`, then start again."
            )
        return Taken(revision=self._service.apply(request.sources))


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(answer.model_dump_json().encode() + b"\n")
    await writer.drain()
