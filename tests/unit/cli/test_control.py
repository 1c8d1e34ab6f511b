"""The control socket: manifests in, views out, and every refusal in words."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from berth_api.errors import BerthError
from berth_cli.failure import INVALID
from berth_cli.laptop.client import Conversation, RefusedByInstance, connect
from berth_cli.laptop.control import ControlServer
from berth_cli.laptop.home import InstanceRecord
from berth_cli.laptop.latest import Latest
from berth_cli.laptop.view import ModelView, View
from berth_cli.manifests.problem import InvalidManifests, Problem
from berth_cli.manifests.source import Source

pytestmark = pytest.mark.timeout(30)
SOURCES = (Source(name="a.yaml", path="/a.yaml"), Source(name="stdin", text="x" * 3_000_000))


class FakeService:
    def __init__(self) -> None:
        self.views = Latest(View())
        self.applied: list[tuple[Source, ...]] = []
        self.stopped = asyncio.Event()
        self.refusal: BerthError | None = None

    def apply(self, sources: tuple[Source, ...]) -> int:
        if self.refusal:
            raise self.refusal
        self.applied.append(sources)
        return len(self.applied)

    def stop(self) -> None:
        self.stopped.set()


class Running:
    def __init__(self, folder: Path) -> None:
        self.service = FakeService()
        self.record = InstanceRecord(
            pid=os.getpid(), version="1", address="", started="", folder=str(folder), sockets=str(folder)
        )
        self.server = ControlServer(self.record.control_socket, self.service, "1")


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        started = Running(Path(folder))
        await started.server.open()
        yield started
        await started.server.close()
        assert not started.record.control_socket.exists()


async def test_manifests_are_taken_and_their_progress_told(running: Running) -> None:
    async with connect(running.record) as conversation:
        assert await conversation.apply(SOURCES, "1") == 1
        assert running.service.applied == [SOURCES]
        views = conversation.views()
        assert await anext(views) == View()
        newer = View(revision=1, models=(ModelView(key="default/a"),))
        running.service.views.set(newer)
        assert await anext(views) == newer


async def test_a_refusal_keeps_its_words_and_exit_code(running: Running) -> None:
    running.service.refusal = InvalidManifests([Problem("a.yaml", 3, "spec", "is wrong", "do right")])
    async with connect(running.record) as conversation:
        with pytest.raises(RefusedByInstance, match=r"a\.yaml:3: spec: is wrong") as caught:
            await conversation.apply(SOURCES, "1")
    assert caught.value.exit_code == INVALID


async def test_another_version_is_told_to_stop_it_first(running: Running) -> None:
    async with connect(running.record) as conversation:
        with pytest.raises(RefusedByInstance, match="Stop it with `berth down`"):
            await conversation.apply(SOURCES, "2")
    assert running.service.applied == []


async def test_stop_is_told_until_the_end(running: Running) -> None:
    async with connect(running.record) as conversation:
        await conversation.stop()
        await asyncio.wait_for(running.service.stopped.wait(), 5)
        views = conversation.views()
        await anext(views)
        await running.server.close()
        assert [view async for view in views] == []


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"hello\n", b'{"verb": "apply"}\n', b"\xff\n"])
async def test_what_is_no_request_is_refused(running: Running, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(running.record.control_socket)
    writer.write(line)
    with pytest.raises(RefusedByInstance, match="a message that can't be read"):
        await Conversation(reader, writer)._next()
    writer.close()


async def test_a_client_that_leaves_disturbs_nobody(running: Running) -> None:
    for _ in range(3):
        async with connect(running.record) as conversation:
            await conversation.apply(SOURCES, "1")
    running.service.views.set(View(revision=7))
    async with connect(running.record) as conversation:
        await conversation.apply(SOURCES, "1")
        assert (await anext(conversation.views())).revision == 7


async def test_only_the_user_reaches_the_socket(running: Running) -> None:
    assert running.record.control_socket.stat().st_mode & 0o777 == 0o600


async def test_an_instance_that_does_not_answer_is_explained(tmp_path: Path) -> None:
    record = InstanceRecord(pid=1, version="", address="", started="", folder=str(tmp_path), sockets=str(tmp_path))
    with pytest.raises(BerthError, match="does not answer"):
        async with connect(record):
            raise AssertionError("nobody listens")
