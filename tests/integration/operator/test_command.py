"""`python -m berth_operator` where there is nothing to do yet, or something is wrong with what it was told."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import aiohttp
import pytest
from api_server import free_port
from operator_process import until

LEAST = {"namespace": "berth-system", "images": {"fetch": "fetch", "cpu": "cpu"}}


def kubeconfig(folder: Path, port: int) -> Path:
    """A way to an API server at a port of loopback, in plain HTTP."""
    file = folder / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(document))
    return file


async def start(folder: Path, settings: object, *, access: Path | None = None) -> asyncio.subprocess.Process:
    config = folder / "operator.yaml"
    config.write_text(json.dumps(settings))
    environment = os.environ | {"KUBECONFIG": str(access or folder / "nothing"), "HOME": str(folder)}
    arguments = (sys.executable, "-m", "berth_operator", "--config", str(config))
    return await asyncio.create_subprocess_exec(*arguments, stderr=PIPE, env=environment)


async def end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_a_wrong_field_is_named_before_anything_starts(tmp_path: Path) -> None:
    status, said = await end_of(await start(tmp_path, LEAST | {"port": 0}))
    assert status == 2
    assert said.startswith("port: ")


async def test_a_lease_that_a_leader_could_outlast_is_refused(tmp_path: Path) -> None:
    status, said = await end_of(await start(tmp_path, LEAST | {"lease": {"durationSeconds": 10}}))
    assert status == 2
    assert "lease" in said


async def test_credentials_that_are_not_there_are_told(tmp_path: Path) -> None:
    status, said = await end_of(await start(tmp_path, LEAST))
    assert status == 2
    assert "nothing" in said


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    taken = free_port()
    server = await asyncio.start_server(lambda *_: None, port=taken)
    async with server:
        access = kubeconfig(tmp_path, free_port())
        status, said = await end_of(await start(tmp_path, LEAST | {"port": taken}, access=access))
    assert status == 2
    assert "give another `port`" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_while_no_api_server_answers_it_lives_is_not_ready_and_ends_when_asked(
    tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    process = await start(tmp_path, LEAST | {"port": port}, access=kubeconfig(tmp_path, free_port()))

    async def probe(path: str) -> int:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    async def lives() -> bool:
        return await probe("/healthz") == 200

    await until(lives, unless=lambda: process.returncode is not None)
    assert await probe("/readyz") == 503
    process.send_signal(number)
    started = time.monotonic()
    status, _ = await end_of(process)
    assert status == 0
    assert time.monotonic() - started < 3
