"""The runtime as a pod runs it: on every address, and on a file system that it must not write to."""

import os
import socket
from pathlib import Path

import aiohttp
import pytest
import tools
from runtime_server import start_runtime

from berth_runtime.server import Server

# Python reports every file that it opens, in the server and in its workers. The log is written by its descriptor, which
# no report is made of.
WATCH = """
import os, sys

LOG = os.open(os.environ["WATCH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path, flags = os.path.abspath(os.fsdecode(arguments[0])), arguments[2] or 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not path.startswith(("/dev/", "/proc/")):
            os.write(LOG, (path + chr(10)).encode())

sys.addaudithook(watch)
"""


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_without_a_host_one_port_answers_over_both_families() -> None:
    server = Server({}, host="", port=0, drain_timeout_seconds=1)
    port = await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            for host in ("127.0.0.1", "[::1]"):
                async with session.get(f"http://{host}:{port}/health/live") as response:
                    assert response.status == 200
    finally:
        await server.stop()


@pytest.mark.needs("smollm2")
async def test_nothing_but_temporary_files_is_written_while_a_model_is_loaded_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, log, temporary = tools.find("smollm2"), tmp_path / "opened", tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/sitecustomize.py").write_text(WATCH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "watch"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("WATCH_LOG", str(log))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("HOME", str(temporary))
    async with start_runtime("--model", f"m={weights}") as runtime:
        await runtime.wait_for_states({"m": "Ready"})
        body = {"model": "m", "prompt": "One, two,", "max_tokens": 4}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{runtime.base_url}/v1/completions", json=body) as response,
        ):
            assert response.status == 200, await response.text()
        assert await runtime.end() == 0
    assert [path for path in log.read_text().splitlines() if not Path(path).is_relative_to(temporary)] == []
