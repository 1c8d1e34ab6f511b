"""How pods come together over real sockets: who waits, who is refused, and that strangers harm nobody."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from berth_runtime.vllm import assembly as module
from berth_runtime.vllm import tether
from berth_runtime.vllm.assembly import Assembly
from berth_runtime.vllm.group import Place, Refusal, Welcome, parse_message
from berth_runtime.vllm.tether import Tether, join

DEADLINE_SECONDS = 20.0
HELLO = b'{"word":"hello","revision":"r1"}\n'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tether, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(tether, "LONGEST_PAUSE_SECONDS", 0.02)


@dataclass
class Head:
    """An assembly with what it told its process."""

    assembly: Assembly
    port: int
    lost: list[str] = field(default_factory=list)
    leaving: list[None] = field(default_factory=list)

    async def stranger(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def joining(self, revision: str = "r1") -> "asyncio.Task[Tether]":
        return asyncio.create_task(join("127.0.0.1", self.port, revision))

    async def whole(self) -> Place:
        return await asyncio.wait_for(self.assembly.wait_whole(), DEADLINE_SECONDS)


@asynccontextmanager
async def a_head(size: int = 2, *, port: int = 0, revision: str = "r1") -> AsyncIterator[Head]:
    lost: list[str] = []
    leaving: list[None] = []
    assembly = Assembly(size, revision, on_lost=lost.append, on_leaving=lambda: leaving.append(None))
    head = Head(assembly, await assembly.listen(port), lost, leaving)
    try:
        yield head
    finally:
        await assembly.close()


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.005)


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def heard(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readline(), DEADLINE_SECONDS)


async def test_a_whole_group_has_ranks_and_one_place_to_meet() -> None:
    async with a_head(3) as head:
        tethers = [await task for task in [head.joining(), head.joining()]]
        place = await head.whole()
        assert (place.rank, place.size, place.address) == (0, 3, "127.0.0.1")
        assert sorted(tether.place.rank for tether in tethers) == [1, 2]
        assert {(tether.place.address, tether.place.port) for tether in tethers} == {(place.address, place.port)}
        assert {tether.address for tether in tethers} == {"127.0.0.1"}
        with socket.create_server(("127.0.0.1", place.port)):
            pass  # the port is free
        for one in tethers:
            one.close()


async def test_a_member_waits_for_its_head_and_for_all_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    port = a_free_port()
    member = asyncio.create_task(join("127.0.0.1", port, "r1"))
    await eventually(lambda: "not in the group yet" in caplog.text)
    async with a_head(3, port=port) as head:
        await eventually(lambda: head.assembly._roster.missing == 1)
        assert not member.done()
        other = head.joining()
        await head.whole()
        for one in (await member, await other):
            one.close()


async def test_a_member_of_another_revision_is_refused_until_its_own_head_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with a_head(revision="r1") as old:
        member = asyncio.create_task(join("127.0.0.1", old.port, "r2"))
        await eventually(lambda: caplog.text.count("refused") > 2)
        assert old.assembly._roster.missing == 1
        assert caplog.text.count("not in the group yet") == 1, "it is said now and then, not each time"
    async with a_head(port=old.port, revision="r2") as new:
        await new.whole()
        (await member).close()


async def test_one_too_many_is_refused_and_harms_nobody() -> None:
    async with a_head() as head:
        one = await head.joining()
        reader, writer = await head.stranger()
        writer.write(HELLO)
        assert parse_message(await heard(reader)) == Refusal("the group of 2 pods is whole")
        assert await heard(reader) == b""
        writer.close()
        assert (head.lost, head.leaving) == ([], [])
        one.close()


async def test_who_leaves_before_the_start_frees_the_place() -> None:
    async with a_head(3) as head:
        reader, writer = await head.stranger()
        writer.write(HELLO)
        assert parse_message(await heard(reader)) == Welcome(1)
        writer.write(b'{"word":"leaving"}\n')
        writer.close()
        await eventually(lambda: head.assembly._roster.missing == 2)
        tethers = [await task for task in (head.joining(), head.joining())]
        assert (head.lost, head.leaving) == ([], [])
        for one in tethers:
            one.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\n",
        b"x" * 100_000,
        b"[" * 900 + b"\n",
        b'{"word":"leaving"}\n',
        b'{"word":"place","rank":1,"size":2,"address":"::1","port":1}\n',
        b"",
    ],
    ids=["http", "tls", "long", "deep", "leaving", "place", "nothing"],
)
async def test_garbage_gets_no_answer_and_harms_nobody(garbage: bytes) -> None:
    async with a_head() as head:
        reader, writer = await head.stranger()
        writer.write(garbage)
        if not garbage:
            writer.write_eof()
        with contextlib.suppress(ConnectionResetError):  # some of it had not been read when the head hung up
            assert await heard(reader) == b""
        writer.close()
        one = await head.joining()
        assert (head.lost, head.leaving) == ([], [])
        one.close()


async def test_who_says_nothing_is_hung_up_on_and_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_head() as head:
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
        reader, writer = await head.stranger()
        writer.write(HELLO[:9])
        one = await head.joining()
        assert await heard(reader) == b""
        writer.close()
        one.close()


async def test_strangers_are_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STRANGERS", 2)
    async with a_head() as head:
        silent = [await head.stranger() for _ in range(2)]
        reader, writer = await head.stranger()
        assert await heard(reader) == b""
        member = head.joining()
        silent.pop()[1].close()
        (await asyncio.wait_for(member, DEADLINE_SECONDS)).close()
        for _, each in silent:
            each.close()
        writer.close()


async def test_a_head_knows_who_is_lost() -> None:
    async with a_head(3) as head:
        first, second = await head.stranger(), await head.stranger()
        for reader, writer in (first, second):
            writer.write(HELLO)
            await heard(reader)
        second[1].transport.abort()
        await eventually(lambda: head.lost != [])
        assert head.lost[0].startswith("Member 2 of the group, at 127.0.0.1, is gone")
        first[1].close()


async def test_a_member_that_has_to_end_is_no_loss_until_it_goes() -> None:
    async with a_head() as head:
        one = await head.joining()
        one.say_leaving()
        await eventually(lambda: head.leaving != [])
        assert head.lost == []
        one.close()
        await eventually(lambda: head.lost != [])


async def test_words_that_nobody_knows_are_passed_over() -> None:
    async with a_head() as head:
        reader, writer = await head.stranger()
        writer.write(HELLO)
        assert (parse_message(await heard(reader)), isinstance(parse_message(await heard(reader)), Place)) == (
            Welcome(0),
            True,
        )
        writer.write(b'nonsense\n{"word":"of a later version"}\n{"word":"leaving"}\n')
        await eventually(lambda: head.leaving != [])
        assert head.lost == []
        writer.close()


async def test_a_head_that_closes_is_known_at_once_and_loses_nobody() -> None:
    async with a_head() as head:
        one = await head.joining()
        waiting = asyncio.create_task(one.wait())
        await head.whole()
        assert not waiting.done()
        await head.assembly.close()
        await asyncio.wait_for(waiting, DEADLINE_SECONDS)
        assert head.lost == []
        one.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * 100_000, b'{"word":"leaving"}\n'])
async def test_a_member_goes_on_trying_whoever_answers(answer: bytes) -> None:
    asked = 0

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    member = asyncio.create_task(join("127.0.0.1", port, "r1"))
    await eventually(lambda: asked > 2)
    server.close()
    async with a_head(port=port) as head:
        await head.whole()
        (await member).close()


async def test_a_head_that_goes_before_the_start_is_waited_for_anew() -> None:
    async with a_head(3) as head:
        member = head.joining()
        await eventually(lambda: head.assembly._roster.missing == 1)
    async with a_head(port=head.port) as next_head:
        await next_head.whole()
        (await asyncio.wait_for(member, DEADLINE_SECONDS)).close()


async def test_both_ends_notice_a_node_that_vanished_within_half_a_minute() -> None:
    async with a_head() as head:
        one = await head.joining()
        await head.whole()
        (theirs,) = head.assembly._writers.values()
        for writer in (one._writer, theirs):
            end = writer.get_extra_info("socket")
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            silent, probe, probes, longest = (
                end.getsockopt(socket.IPPROTO_TCP, option)
                for option in (
                    *(socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT),
                    socket.TCP_USER_TIMEOUT,
                )
            )
            assert silent + probe * probes <= 30
            assert longest <= 30_000
        one.close()
