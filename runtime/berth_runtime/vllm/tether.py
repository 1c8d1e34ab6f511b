"""A member's connection to the head of its group: while it holds, both are of one group. Called by `member`.

Whoever is at its end when it breaks has lost the group. TCP's keepalive breaks it where a node has vanished without a
word, after about half a minute.
"""

import asyncio
import contextlib
import logging
import socket
from typing import Final

from berth_runtime.vllm.group import (
    MAX_LINE_BYTES,
    Hello,
    Leaving,
    Place,
    Refusal,
    Welcome,
    parse_message,
    plain_address,
    render_message,
)

ANSWER_SECONDS: Final = 10.0
"""How long a connection, a hello or its answer may take."""
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 5.0
TELL_SECONDS: Final = 60.0
"""How often a member that waits for one and the same says so."""
_SILENT_SECONDS, _PROBE_SECONDS, _PROBES = 15, 5, 3

log = logging.getLogger(__name__)


class NotJoined(Exception):  # noqa: N818 - says how it stands
    """Not now, and why."""


class Tether:
    """A member's end, from the moment when its group is whole. `address` is the member's own, as the head sees it."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self.address = plain_address(writer.get_extra_info("sockname")[0])
        self._reader = reader
        self._writer = writer

    async def wait(self) -> None:
        """Until it breaks. What the head may say meanwhile is nothing that is known here."""
        with contextlib.suppress(OSError):
            while await self._reader.read(MAX_LINE_BYTES):
                pass

    def say_leaving(self) -> None:
        """Tell the head that this member has to end."""
        self._writer.write(render_message(Leaving()))

    def close(self) -> None:
        """Let go."""
        self._writer.close()


async def join(host: str, port: int, revision: str) -> Tether:
    """Come into the group whose head is at an address, for as long as that takes; returns once it is whole."""
    pause, told, why, loop = FIRST_PAUSE_SECONDS, float("-inf"), "", asyncio.get_running_loop()
    while True:
        try:
            return await _try_to_join(host, port, revision)
        except NotJoined as error:
            if str(error) != why or loop.time() - told >= TELL_SECONDS:
                why, told = str(error), loop.time()
                log.info("not in the group yet", extra={"head": host, "reason": why})
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def _try_to_join(host: str, port: int, revision: str) -> Tether:
    """Raises NotJoined."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, limit=MAX_LINE_BYTES)
    except TimeoutError as error:
        raise NotJoined("the head takes no connection") from error
    except OSError as error:
        raise NotJoined(f"the head can't be reached: {error.strerror or error}") from error
    try:
        place = await _ask_for_place(reader, writer, revision)
    except BaseException:
        writer.close()
        raise
    return Tether(place, reader, writer)


async def _ask_for_place(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, revision: str) -> Place:
    try:
        watch(writer)
        writer.write(render_message(Hello(revision)))
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = parse_message(await reader.readline())
        if isinstance(answer, Welcome):
            log.info("joined the group, which waits for the others", extra={"missing": answer.missing})
            answer = parse_message(await reader.readline())
    except TimeoutError as error:
        raise NotJoined("the head does not answer") from error
    except (OSError, ValueError) as error:
        raise NotJoined("the head went away, or who answers is none") from error
    match answer:
        case Place():
            return answer
        case Refusal(why):
            raise NotJoined(f"the head refuses: {why}")
        case _:
            raise NotJoined("the head went away, or who answers is none")


def watch(writer: asyncio.StreamWriter) -> None:
    """Have the kernel find out whether the other side is still there; both ends do."""
    end = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # By the names of Linux; where one is missing, the connection ends as late as that system has it.
    longest = (_SILENT_SECONDS + _PROBE_SECONDS * _PROBES) * 1000
    wanted = {
        "TCP_KEEPIDLE": _SILENT_SECONDS,
        "TCP_KEEPINTVL": _PROBE_SECONDS,
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": longest,  # keepalive sleeps while something that was sent waits for its acknowledgement
    }
    for name, value in wanted.items():
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
