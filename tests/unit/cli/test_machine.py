"""What is asked of this machine: ports, memory, and runtime processes over HTTP."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from berth_api.errors import BerthError, InvalidSpec
from berth_cli.laptop.memory import observe_room_bytes
from berth_cli.laptop.parts import EngineStatus
from berth_cli.laptop.ports import ensure_free, free_port, who_listens
from berth_cli.laptop.probe import HttpProbe, read_status


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    ensure_free("127.0.0.1", port)
    assert who_listens(port) is None
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_who_holds_a_port_is_named(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family is socket.AF_INET else "::1"
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        with pytest.raises(BerthError, match=rf"port {port} of {host} is taken: .* \(process {os.getpid()}\) listens"):
            ensure_free(host, port)


def test_a_port_that_another_gateway_shares_counts_as_taken() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(BerthError, match="is taken"):
            ensure_free("127.0.0.1", server.getsockname()[1])


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(BerthError, match=r"can't listen on 192\.0\.2\.1"):
        ensure_free("192.0.2.1", 8080)
    with pytest.raises(InvalidSpec, match="is no address of this machine"):
        ensure_free("no such host", 8080)


def test_a_system_that_tells_nothing_names_nobody(tmp_path: Path) -> None:
    assert who_listens(8080, tmp_path) is None


def test_the_room_is_what_machine_and_container_allow(tmp_path: Path) -> None:
    meminfo, cgroup = tmp_path / "meminfo", tmp_path / "cgroup"
    cgroup.mkdir()
    assert observe_room_bytes(meminfo, cgroup) is None
    meminfo.write_text("MemTotal: 100 kB\nMemAvailable:       50 kB\n")
    assert observe_room_bytes(meminfo, cgroup) == 51200
    (cgroup / "memory.max").write_text("40000\n")
    (cgroup / "memory.current").write_text("10000\n")
    assert observe_room_bytes(meminfo, cgroup) == 30000
    (cgroup / "memory.max").write_text("max\n")
    assert observe_room_bytes(meminfo, cgroup) == 51200
    meminfo.write_text("MemAvailable: many kB\n")
    assert observe_room_bytes(meminfo, cgroup) is None


Serve = Callable[[int, str], None]


class Runtime:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.ready = 200
        self.status = "{}"
        self.port = 0

    async def answer_ready(self, _: web.Request) -> web.Response:
        return web.Response(status=self.ready)

    async def answer_status(self, _: web.Request) -> web.Response:
        return web.Response(text=self.status, content_type="application/json")


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    one = Runtime()
    app = web.Application()
    app.router.add_get("/health/ready", one.answer_ready)
    app.router.add_get("/status", one.answer_status)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.port = runner.addresses[0][1]
    yield one
    await runner.cleanup()


@pytest.fixture
async def probe() -> AsyncIterator[HttpProbe]:
    one = HttpProbe()
    yield one
    await one.close()


async def test_a_ready_process_is_asked_no_more(runtime: Runtime, probe: HttpProbe) -> None:
    assert await probe.observe(runtime.port) == EngineStatus(answering=True, ready=True)


async def test_a_loading_process_says_its_step(runtime: Runtime, probe: HttpProbe) -> None:
    runtime.ready = 503
    runtime.status = '{"models": [{"state": "Loading", "stages": [{"name": "Detected"}, {"name": "Spawned"}]}]}'
    assert await probe.observe(runtime.port) == EngineStatus(answering=True, message="reading the weights")


async def test_a_failed_process_says_why(runtime: Runtime, probe: HttpProbe) -> None:
    runtime.ready = 503
    runtime.status = '{"models": [{"state": "Failed", "message": "the file is cut"}]}'
    assert await probe.observe(runtime.port) == EngineStatus(answering=True, failed=True, message="the file is cut")


def test_only_a_failure_that_the_runtime_gives_up_on_is_final() -> None:
    failed = {"state": "Failed", "message": "not enough memory"}
    given_up = read_status({"models": [{**failed, "retryInSeconds": None}]})
    assert given_up == EngineStatus(answering=True, failed=True, message="not enough memory")
    for seconds in (0, 0.5, 30):
        retried = read_status({"models": [{**failed, "retryInSeconds": seconds}]})
        assert retried == EngineStatus(answering=True, message="not enough memory\nTrying again")


@pytest.mark.parametrize("status", ["no json", "\xff"])
async def test_a_process_that_answers_nonsense_is_not_answering(
    runtime: Runtime, probe: HttpProbe, status: str
) -> None:
    runtime.ready, runtime.status = 503, status
    assert await probe.observe(runtime.port) == EngineStatus()


async def test_nobody_is_not_answering(probe: HttpProbe) -> None:
    assert await probe.observe(free_port()) == EngineStatus()


@pytest.mark.parametrize(
    "status", [None, [], {}, {"models": None}, {"models": []}, {"models": [1]}, {"models": [{"stages": [1]}]}]
)
def test_a_status_of_another_shape_says_only_that_it_answers(status: object) -> None:
    assert read_status(status) == EngineStatus(answering=True)
