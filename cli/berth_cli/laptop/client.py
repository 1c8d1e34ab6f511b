"""Talks to a running instance over its control socket, for `berth up` when one runs already and for `berth down`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from berth_api.errors import BerthError
from berth_cli.laptop.home import InstanceRecord
from berth_cli.laptop.messages import ANSWERS, LONGEST_LINE_BYTES, Apply, Changed, Refused, Request, Stop, Taken
from berth_cli.laptop.view import View
from berth_cli.manifests.source import Source


class RefusedByInstance(BerthError):  # noqa: N818 - said as what happened
    """The running instance refused a request, in words that were made for people."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.exit_code = refused.exit_code


class Conversation:
    """One request and its answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def apply(self, sources: tuple[Source, ...], version: str) -> int:
        """Hands manifests over and returns their revision. Raises `RefusedByInstance`."""
        await self._send(Apply(version=version, sources=sources))
        answer = await self._next()
        if isinstance(answer, Taken):
            return answer.revision
        raise BerthError("the running berth ended before it took the manifests; start it again")

    async def stop(self) -> None:
        """Asks it to stop; `views` ends when it has."""
        await self._send(Stop())

    async def views(self) -> AsyncIterator[View]:
        """Each change until the instance ends."""
        while (answer := await self._next()) is not None:
            if isinstance(answer, Changed):
                yield answer.view

    async def _send(self, request: Request) -> None:
        self._writer.write(request.model_dump_json().encode() + b"\n")
        await self._writer.drain()

    async def _next(self) -> Taken | Changed | None:
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        if not line.endswith(b"\n"):
            return None
        answer = ANSWERS.validate_json(line)
        if isinstance(answer, Refused):
            raise RefusedByInstance(answer)
        return answer


@asynccontextmanager
async def connect(record: InstanceRecord) -> AsyncIterator[Conversation]:
    """A conversation with the instance. Raises `BerthError` if it does not answer."""
    try:
        reader, writer = await asyncio.open_unix_connection(record.control_socket, limit=LONGEST_LINE_BYTES)
    except OSError as error:
        raise BerthError(
            f"a berth runs (process {record.pid}) but does not answer on {record.control_socket}: {error.strerror}.\n"
            "Stop it with `berth down`."
        ) from error
    try:
        yield Conversation(reader, writer)
    finally:
        writer.close()
