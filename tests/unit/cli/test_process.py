"""Child processes, with real small ones: logs, groups, and that none outlives its parent."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from berth_cli.laptop.process import LocalLauncher, LocalProcess, exit_text, last_words, passed_on

pytestmark = pytest.mark.timeout(60)
SLEEP = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")
# Ignores SIGTERM, and has a child of its own that does so too.
STUBBORN_CODE = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print("up", os.getpid(), flush=True)
time.sleep(60)
"""
STUBBORN = (sys.executable, "-c", STUBBORN_CODE)


def is_running(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(holds: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "a.log"


async def start(log: Path, *argv: str) -> LocalProcess:
    return await LocalLauncher().start(argv, {"BERTH_TEST": "yes"}, log)


async def test_output_goes_to_the_log_which_is_appended_to(log: Path) -> None:
    for word in ("one", "two"):
        process = await start(log, sys.executable, "-c", f"import sys; print('{word}'); sys.exit(3)")
        assert await process.wait() == 3
    assert log.read_text() == "one\ntwo\n"
    assert last_words(log, lines=1) == "two"


async def test_a_log_that_grew_too_large_is_put_aside(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_cli.laptop.process._LARGEST_LOG_BYTES", 3)
    for word in ("first", "second"):
        await (await start(log, sys.executable, "-c", f"print('{word}')")).wait()
    assert log.read_text() == "second\n"
    assert log.with_suffix(".log.1").read_text() == "first\n"


async def test_a_process_leads_a_group_of_its_own_so_that_ctrl_c_does_not_reach_it(log: Path) -> None:
    process = await start(log, *SLEEP)
    await until(lambda: "up" in log.read_text())
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    process.terminate()
    assert await process.wait() == -signal.SIGTERM


async def test_killing_ends_the_whole_group(log: Path) -> None:
    process = await start(log, *STUBBORN)
    await until(lambda: log.read_text().count("\n") == 2)
    pids = [int(line.split()[1]) for line in log.read_text().splitlines()]
    process.terminate()
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    await until(lambda: not any(is_running(pid) for pid in pids))


async def test_what_a_process_leaves_behind_is_ended_with_it(log: Path) -> None:
    code = "import os, time; pid = os.fork(); print(pid, flush=True) if pid else time.sleep(60)"
    process = await start(log, sys.executable, "-c", code)
    assert await process.wait() == 0
    await until(lambda: not is_running(int(log.read_text())))


async def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    parent = (
        "import asyncio, pathlib, sys\n"
        "from berth_cli.laptop.process import LocalLauncher\n"
        "async def main():\n"
        f"    process = await LocalLauncher().start({SLEEP!r}, {{}}, pathlib.Path({str(log)!r}))\n"
        "    print(process.pid, flush=True)\n"
        "    await process.wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    await until(lambda: log.exists() and "up" in log.read_text())
    process.kill()
    await process.wait()
    await until(lambda: not is_running(child), seconds=5)


async def test_a_program_that_does_not_exist_is_said_in_the_log(log: Path) -> None:
    process = await start(log, "/no/such/program")
    assert await process.wait() == 127
    assert last_words(log) == "/no/such/program can't be executed: No such file or directory"


async def test_engines_get_no_credentials(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    await (await start(log, sys.executable, "-c", "import os; print(*os.environ)")).wait()
    names = log.read_text().split()
    assert {"PATH", "OMP_NUM_THREADS", "BERTH_TEST"} <= set(names)
    assert "HF_TOKEN" not in names
    assert passed_on({"PATH": "a", "AWS_SECRET_ACCESS_KEY": "b", "LC_ALL": "c"}) == {"PATH": "a", "LC_ALL": "c"}


def test_the_end_of_a_process_is_said_in_words() -> None:
    assert [exit_text(code) for code in (1, -9, -250)] == ["exit code 1", "signal SIGKILL", "signal 250"]


def test_a_log_that_says_nothing_has_no_last_words(tmp_path: Path) -> None:
    assert last_words(tmp_path / "none.log") == ""
    (tmp_path / "a.log").write_bytes(b"\xff\n\n  \n")
    assert last_words(tmp_path / "a.log") == "\N{REPLACEMENT CHARACTER}"
