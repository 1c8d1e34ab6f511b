"""The run folder: one instance at a time, and a crash leaves nothing that confuses the next."""

import multiprocessing
import os
import stat
import threading
from pathlib import Path

import pytest

from berth_api.errors import BerthError
from berth_cli.laptop.home import LONGEST_SOCKET_PATH, InstanceRecord, Lock, RunFolder, socket_folder


def a_record(run: RunFolder, name: str = "1") -> InstanceRecord:
    folder, sockets = run.new_start(name)
    return InstanceRecord(
        pid=os.getpid(), version="1", address="http://x", started="now", folder=str(folder), sockets=str(sockets)
    )


def test_nothing_runs_where_there_is_no_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.running() is None
    assert not run.path.exists()


def test_who_holds_the_lock_runs(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    lock = run.lock()
    assert lock is not None
    with lock:
        record = a_record(run)
        run.open(record)
        assert run.running() == record
        assert run.lock(wait_seconds=0) is None
    assert run.running() is None


def test_a_lock_is_waited_for_a_moment(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    held = run.lock()
    assert held is not None
    timer = threading.Timer(0.1, held.close)
    timer.start()
    got = run.lock(wait_seconds=5)
    timer.join()
    assert got is not None
    got.close()


def _hold_and_die(home: Path, ready: "multiprocessing.synchronize.Event") -> None:  # type: ignore[name-defined]
    run = RunFolder(home)
    lock = run.lock()
    assert lock is not None
    record = a_record(run)
    run.open(record)
    record.control_socket.touch()
    ready.set()
    os.kill(os.getpid(), 9)


def test_what_a_crashed_instance_left_is_cleaned_and_its_logs_stay(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold_and_die, args=(tmp_path, ready))
    process.start()
    process.join(30)
    run = RunFolder(tmp_path)
    record = run.record()
    assert record is not None
    (Path(record.folder) / "logs" / "a.log").write_text("last words")
    assert run.running() is None
    assert run.record() is None
    assert not record.control_socket.exists()
    assert (Path(record.folder) / "logs" / "a.log").exists()


def test_only_the_user_can_enter_the_run_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create()
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700


def test_sockets_of_a_deep_home_go_to_a_short_folder_and_are_removed(tmp_path: Path) -> None:
    home = tmp_path / ("deep" * 20)
    run = RunFolder(home)
    run.create()
    record = a_record(run)
    assert len(os.fsencode(record.control_socket)) <= LONGEST_SOCKET_PATH
    assert stat.S_IMODE(Path(record.sockets).stat().st_mode) == 0o700
    run.clean(record)
    assert not Path(record.sockets).exists()


def test_sockets_of_a_short_home_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert socket_folder(Path("/srv/berth/run/20261123-120000-1")) == Path("/srv/berth/run/20261123-120000-1")


def test_old_starts_are_removed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create()
    for number in range(8):
        run.new_start(f"2026-{number}")
    assert sorted(path.name for path in run.path.iterdir()) == [f"2026-{number}" for number in range(3, 8)]


def test_a_home_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BerthError, match=r"can't write .*\n.*BERTH_HOME"):
        RunFolder(tmp_path / "file").lock()


def test_a_broken_record_counts_as_none(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create()
    run.record_path.write_text("{")
    assert run.running() is None


def test_a_lock_is_not_inherited(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    assert not os.get_inheritable(lock.descriptor)
    lock.close()
