"""Room for what archives hold: taken before it is used, counted by everyone, and never more than the quota together."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tar_builders as t
from lying_registry import LyingRegistry
from oci_artifacts import Layer, MadeArtifact, make_layers
from pulls import QUICK

from berth_store import room as room_module
from berth_store import unpack
from berth_store.durable import temporary_name
from berth_store.errors import QuotaReached
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.quota import ROOM_SUFFIX, reserved, spare_bytes
from berth_store.room import Room, open_room

pytestmark = pytest.mark.timeout(60)
ANOTHER_PROCESS = """
import sys
from pathlib import Path
from berth_store.local import Store
from berth_store.room import open_room

store = Store(Path(sys.argv[1]), quota_bytes=1000)
with store.using(), open_room(store, 0, frozenset()) as room, (store.ingest / "file").open("xb") as file:
    room.give(file.fileno(), "a file", 300)
    Path(file.name).unlink()
    print("given", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", quota_bytes=1000)
    store.prepare()
    return store


def spare(store: Store) -> int | None:
    with spare_bytes(store) as found:
        return found


@contextmanager
def unpacking(store: Store) -> Iterator[tuple[Room, Path]]:
    """An archive on its way: room for it, and the folder where its files come to lie."""
    folder = temporary_name(store.ingest)
    folder.mkdir()
    with open_room(store, 0, frozenset()) as room:
        yield room, folder


def give(room: Room, path: Path, size: int) -> None:
    with path.open("xb") as file:
        room.give(file.fileno(), path.name, size)


def test_what_is_taken_is_gone_for_others_and_what_is_left_of_it_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "STEP_BYTES", 200)
    with unpacking(store) as (room, folder):
        give(room, folder / "0", 50)
        assert spare(store) == 800, "a step"
        give(room, folder / "1", 150)
        assert spare(store) == 800, "out of what was taken"
        give(room, folder / "2", 700)
        assert spare(store) == 100, "more than a step"
        give(room, folder / "3", 1)
        assert spare(store) == 0, "what is left of the quota"
    assert spare(store) == 99
    assert [path.stat().st_size for path in sorted(folder.iterdir())] == [50, 150, 700, 1]
    assert not list(store.ingest.glob(f"*{ROOM_SUFFIX}"))


async def test_what_pulls_have_reserved_is_not_taken_and_they_reserve_nothing_that_is(store: Store) -> None:
    async with reserved(store, [("a" * 64, 600)]):
        with unpacking(store) as (room, folder):
            with pytest.raises(QuotaReached, match="'0' unpacks to 401 bytes, and of the quota of 1,000 are 400 left"):
                give(room, folder / "0", 401)
            give(room, folder / "1", 100)
            with pytest.raises(
                QuotaReached, match="1 bytes are still to be fetched, 100 lie there, 900 more are being"
            ):
                async with reserved(store, [("b" * 64, 1)]):
                    pass
        async with reserved(store, [("b" * 64, 300)]):
            assert spare(store) == 0


def test_where_there_is_no_quota_nothing_is_taken(store: Store) -> None:
    store.quota_bytes = None
    with unpacking(store) as (room, folder):
        give(room, folder / "0", 5000)
        assert [path.name for path in store.ingest.iterdir()] == [folder.name]
    store.quota_bytes = 6000
    assert spare(store) == 1000


def test_room_ends_with_its_process(store: Store) -> None:
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(store.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "given\n"
        assert spare(store) == 300
        process.kill()
    assert list(store.ingest.glob(f"*{ROOM_SUFFIX}"))
    assert spare(store) == 1000
    assert list(store.ingest.iterdir()) == []


def an_archive(content: bytes) -> MadeArtifact:
    packed = t.gzipped(t.tar_of({"model.gguf": content}))
    return make_layers([Layer(packed, "application/vnd.cncf.model.weight.v1.tar+gzip")])


async def test_two_archives_unpacked_at_once_do_not_pass_it_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "STEP_BYTES", 1000)
    store = Store(tmp_path / "store", quota_bytes=100_000)
    begun, may_end = threading.Event(), threading.Event()
    write_all = unpack.write_all

    def wait(file: int, content: bytes) -> None:
        if not begun.is_set():
            begun.set()
            assert may_end.wait(30)
        write_all(file, content)

    monkeypatch.setattr(unpack, "write_all", wait)
    async with LyingRegistry() as registry:
        first = registry.hold("a/first", an_archive(b"1" * 60_000))
        second = registry.hold("a/second", an_archive(b"2" * 60_000))
        under_way = asyncio.create_task(pull(store, first, registries=QUICK))
        try:
            assert await asyncio.to_thread(begun.wait, 30)
            with pytest.raises(
                QuotaReached, match=r"unpacks to 60,000 bytes, and of the quota of 100,000 are 39,\d{3} "
            ):
                await pull(store, second, registries=QUICK)
        finally:
            may_end.set()
            await under_way
        assert sum(path.stat().st_size for path in store.blobs.iterdir()) <= 100_000
        store.quota_bytes = 130_000
        await pull(store, second, registries=QUICK)
