"""The head's ends of the connections to its members: a group assembles here, and is lost here. Called by `head`.

Whoever reaches the port may say anything: lines and times are bounded, and strangers are few at a time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from itertools import count
from typing import Final

from berth_runtime.vllm.group import (
    MAX_LINE_BYTES,
    Garbled,
    Hello,
    Leaving,
    Member,
    Message,
    Place,
    Refusal,
    Roster,
    describe_loss,
    parse_message,
    plain_address,
    render_message,
)
from berth_runtime.vllm.tether import ANSWER_SECONDS, watch
from berth_store.listening import listen_everywhere

MAX_STRANGERS: Final = 64
"""Connections at a time that have not said hello."""

log = logging.getLogger(__name__)


class Assembly:
    """Members come and go until the group is whole. From then on, `on_lost` is called with a sentence when one is gone,
    and `on_leaving` when one has to end.
    """

    def __init__(
        self, size: int, revision: str, *, on_lost: Callable[[str], None], on_leaving: Callable[[], None]
    ) -> None:
        self._roster = Roster(size, revision)
        self._on_lost = on_lost
        self._on_leaving = on_leaving
        self._numbers = count(1)
        self._strangers = 0
        self._writers: dict[Member, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._place: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._server: asyncio.Server | None = None

    async def listen(self, port: int) -> int:
        """Let members in; the port, which is any free one for 0. Raises OSError."""
        end = listen_everywhere(port)
        self._server = await asyncio.start_server(self._take, sock=end, limit=MAX_LINE_BYTES)
        log.info("waiting for members", extra={"missing": self._roster.missing, "revision": self._roster.revision})
        return int(end.getsockname()[1])

    async def wait_whole(self) -> Place:
        """The head's own place, once each member has got its own."""
        return await asyncio.shield(self._place)

    async def close(self) -> None:
        """Let go of all, who then know that this group has ended. Nobody is lost by it."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection. A task of our own, as asyncio's tells a cancelled one as an error."""
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            member = await self._meet(reader, writer)
            if member is not None:
                await self._listen_to(member, reader)
                self._miss(member)
        finally:
            writer.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Member | None:
        """The member that a stranger became, if one."""
        if self._strangers >= MAX_STRANGERS:
            return None
        self._strangers += 1
        try:
            watch(writer)
            async with asyncio.timeout(ANSWER_SECONDS):
                hello = parse_message(await reader.readline())
        except (OSError, ValueError):  # slow, gone, too long, or garbled
            return None
        finally:
            self._strangers -= 1
        return self._judge(hello, writer) if isinstance(hello, Hello) else None

    def _judge(self, hello: Hello, writer: asyncio.StreamWriter) -> Member | None:
        answer = self._roster.judge(hello)
        address = plain_address(writer.get_extra_info("peername")[0])
        _say(writer, answer)
        if isinstance(answer, Refusal):
            log.info("refused", extra={"address": address, "reason": answer.why})
            return None
        member = Member(next(self._numbers), address)
        self._roster = self._roster.joined_by(member)
        self._writers[member] = writer
        log.info("a member joined", extra={"address": address, "missing": self._roster.missing})
        if self._roster.missing == 0:
            self._start()
        return member

    def _start(self) -> None:
        """Give each its place, in one go: between the last one's hello and this nobody can leave."""
        self._roster = self._roster.start()
        first = self._writers[self._roster.members[0]]
        # Members came through a Service, whose address is not that of this pod; what they reached is.
        address, port = plain_address(first.get_extra_info("sockname")[0]), _free_port()
        for member in self._roster.members:
            _say(self._writers[member], Place(self._roster.rank(member), self._roster.size, address, port))
        self._place.set_result(Place(0, self._roster.size, address, port))

    async def _listen_to(self, member: Member, reader: asyncio.StreamReader) -> None:
        """Until it is gone, which a line that is too long is as well."""
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                with contextlib.suppress(Garbled):
                    if isinstance(parse_message(line), Leaving) and self._roster.has_started:
                        log.info("a member has to end", extra={"address": member.address})
                        self._on_leaving()

    def _miss(self, member: Member) -> None:
        if self._roster.has_started:
            self._on_lost(describe_loss(self._roster, member))
            return
        self._roster = self._roster.left_by(member)
        del self._writers[member]
        log.info("a member left", extra={"address": member.address, "missing": self._roster.missing})


def _say(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(render_message(message))


def _free_port() -> int:
    with listen_everywhere(0) as probe:
        return int(probe.getsockname()[1])
