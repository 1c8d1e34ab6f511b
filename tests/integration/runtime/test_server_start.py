"""The first and the last words of the process: an address that can't be had, a bug, what `/status` says of a retry."""

import asyncio
import errno
import logging
import socket
import sys

import pytest
from runtime_server import a_fake_model, serve_fakes

from berth_api.errors import UnsupportedModel
from berth_runtime.arguments import parse_arguments
from berth_runtime.served import ResolvedModel, ServedModel
from berth_runtime.server import STATUS_BUG, CannotListen, Server, explain_address, serve

NOBODY = ("--model", "fake=/nowhere/model.gguf")


async def test_a_port_that_is_taken_is_one_sentence_and_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = await run_command("--host", "127.0.0.1", "--port", str(port))
    assert status == 1
    assert said == (
        f"berth_runtime: can't listen on 127.0.0.1:{port}: another process has this port. "
        "End it, or choose another port by --port.\n"
    )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
async def test_an_address_that_is_not_of_this_machine_is_refused_with_the_remedy(host: str) -> None:
    server = Server({}, host=host, port=0, drain_timeout_seconds=1)
    with pytest.raises(CannotListen, match=rf"can't listen on {host}:0: .* Give one by --host"):
        await server.start()


def test_a_port_that_only_root_may_take_is_said_with_the_remedy() -> None:
    said = explain_address("0.0.0.0", 80, PermissionError(errno.EACCES, "Permission denied"))
    assert said == "can't listen on 0.0.0.0:80: this user may not take that port. Choose one from 1024 on by --port."


async def test_a_bug_in_the_life_of_a_model_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    async def resolve() -> ResolvedModel:
        raise RuntimeError("nobody thought of this")

    options = parse_arguments(["--host", "127.0.0.1", "--port", "0", *NOBODY])
    async with asyncio.timeout(20):
        assert await serve(options, {"fake": resolve}) == STATUS_BUG
    assert any(record.levelno == logging.CRITICAL and record.exc_info for record in caplog.records)


async def test_a_failure_of_the_machine_is_tried_again() -> None:
    tries = []

    async def resolve() -> ResolvedModel:
        tries.append(1)
        if len(tries) < 2:
            raise OSError(24, "Too many open files")
        raise UnsupportedModel("this model has no heart")

    model = ServedModel("fake", resolve, lambda _: None)
    async with asyncio.timeout(20):
        await model.run()
    assert len(tries) == 2
    assert model.life.message == "this model has no heart"


async def test_the_status_tells_a_failure_for_good_from_one_that_is_tried_again() -> None:
    models = a_fake_model("heartless", load="refuse"), a_fake_model("strange", load="crash")
    async with serve_fakes(*models, wait_ready=False) as running:
        assert (await running.wait_for_state("Failed", "heartless"))["retryInSeconds"] is None
        assert 0 <= (await running.wait_for_state("Failed", "strange"))["retryInSeconds"] <= 30


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
async def test_an_address_that_others_reach_is_warned_of(
    host: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server({}, host=host, port=0, drain_timeout_seconds=1)
    await server.start()
    await server.stop()
    assert any("no key is asked for" in record.message for record in caplog.records) is warned


async def run_command(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_runtime", *NOBODY, *arguments), stderr=asyncio.subprocess.PIPE
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, said.decode()
