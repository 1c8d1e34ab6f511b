"""What was served last, on disk."""

import asyncio
import json
from pathlib import Path

import pytest
from model_slices import a_slice

from berth_gateway import last_state
from berth_gateway.last_state import Recorder, read_documents, write_documents
from berth_gateway.served import Documents

STATE = Documents(({"metadata": {"name": "qwen ü"}},), (), (a_slice("qwen"),))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_documents(tmp_path / "state.json", STATE)
    assert read_documents(tmp_path / "state.json") == STATE


def test_where_nothing_was_written_nothing_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_documents(tmp_path / "state.json") is None
    assert not caplog.records


@pytest.mark.parametrize(
    "content", ["", '{"format": 1, "mod', "[]", "{}", '{"format": 1}', "\x00" * 9, '{"format": 99}']
)
def test_a_file_that_this_version_cannot_read_is_no_state(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    assert read_documents(tmp_path / "state.json") is None


def test_a_write_that_fails_leaves_the_old_state(tmp_path: Path) -> None:
    write_documents(tmp_path / "state.json", STATE)
    with pytest.raises(TypeError):
        write_documents(tmp_path / "state.json", Documents(({"an object": object()},)))
    assert read_documents(tmp_path / "state.json") == STATE


def test_no_reader_ever_finds_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_documents(path, STATE)
    seen = []
    dump = json.dump

    def dump_slowly(*given: object, **more: object) -> None:
        dump(*given, **more)  # type: ignore[arg-type]
        seen.append(read_documents(path))

    monkeypatch.setattr(json, "dump", dump_slowly)
    write_documents(path, Documents())
    assert seen == [STATE]
    assert read_documents(path) == Documents()


async def test_of_many_states_the_newest_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_state, "PAUSE_SECONDS", 0.01)
    recorder = Recorder(tmp_path / "state.json")
    running = asyncio.create_task(recorder.run())
    for number in range(100):
        recorder.record(Documents(({"number": number},)))
    async with asyncio.timeout(5):
        while read_documents(tmp_path / "state.json") != Documents(({"number": 99},)):
            await asyncio.sleep(0.01)
    running.cancel()


async def test_what_is_due_is_written_before_the_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "state.json")
    recorder.record(STATE)
    await recorder.flush()
    assert read_documents(tmp_path / "state.json") == STATE


async def test_a_disk_that_refuses_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path / "missing" / "state.json")
    recorder.record(STATE)
    await recorder.flush()
    assert "can't be written" in caplog.text
