"""What kopf is told, so that it takes objects in and does nothing else."""

import asyncio
import getpass
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import kopf
import pytest
from aiohttp import web
from fake_cluster import FakeCluster
from operator_parts import QWEN_MODEL, put_model

from berth_kube.credentials import Credentials
from berth_kube.login import Login
from berth_kube.resources import Object
from berth_operator.intake import Backoffs, kopf_settings, open_session, register, spawn_intake
from berth_operator.subject import Kind, subject_of


def nobody() -> Credentials:
    return Credentials(lambda: pytest.fail("nobody asks yet"))


def never(kind: Kind, found: object) -> None:
    raise AssertionError(found)


async def test_it_starts_for_a_user_whom_the_system_has_no_name_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def getuser() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    monkeypatch.setattr(getpass, "getuser", getuser)
    tasks = await spawn_intake(nobody(), (), put=never, drop=never)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Delivered:
    """Handlers as kopf would call them, and what they handed on."""

    def __init__(self) -> None:
        self.put: list[tuple[Kind, Object]] = []
        self.dropped: list[tuple[Kind, Object]] = []
        registry = kopf.OperatorRegistry()
        register(
            registry,
            nobody(),
            put=lambda kind, found: self.put.append((kind, found)),
            drop=lambda kind, found: self.dropped.append((kind, found)),
        )
        self.handlers: dict[str, Any] = {str(handler.id): handler for handler in registry._watching.get_all_handlers()}

    async def event(self, handler: str, type_: str | None, document: Object) -> None:
        await self.handlers[handler].fn(event={"type": type_, "object": document}, body=document)


@pytest.mark.parametrize("type_", [None, "ADDED", "MODIFIED"])
async def test_what_is_there_is_put_in_whether_it_was_listed_or_watched(type_: str | None) -> None:
    delivered, model = Delivered(), put_model(FakeCluster())
    await delivered.event("model", type_, model)
    assert [subject_of(*one) for one in delivered.put] == [QWEN_MODEL]
    assert delivered.dropped == []


async def test_what_was_deleted_is_dropped() -> None:
    delivered, model = Delivered(), put_model(FakeCluster())
    await delivered.event("route", "DELETED", model)
    assert [kind for kind, _ in delivered.dropped] == [Kind.ROUTE]
    assert delivered.put == []


def test_kopf_watches_our_two_kinds_and_has_no_other_work() -> None:
    registry = kopf.OperatorRegistry()
    register(registry, nobody(), put=never, drop=never)
    assert len(registry._watching.get_all_handlers()) == 2
    for others in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert others.get_all_handlers() == []


def test_kopf_neither_posts_nor_scans_nor_looks_for_peers() -> None:
    settings = kopf_settings()
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.peering.standalone


def test_attempts_never_run_out_and_start_anew_for_each_request() -> None:
    backoffs: Any = kopf_settings().networking.error_backoffs
    assert isinstance(backoffs, Backoffs)
    assert not hasattr(backoffs, "__len__")
    assert list(itertools.islice(backoffs, 7)) == [0.5, 1, 2, 4, 8, 8, 8]
    assert next(iter(backoffs)) == 0.5


@asynccontextmanager
async def server() -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP server that notes with what authorization it was asked."""
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", note)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


async def test_a_token_that_the_kubelet_renews_is_used_from_the_next_request_on() -> None:
    async with server() as (url, seen):
        tokens = iter(["old", "new"])
        credentials = Credentials(lambda: Login(url, token=next(tokens)), now=itertools.count(0, 1000).__next__)
        connection = open_session(credentials)
        async with connection.aiohttp_session as session:
            assert connection.server == url
            async with session.get(url):
                pass
        assert seen == ["Bearer new"]


async def test_a_certificate_needs_no_token() -> None:
    async with server() as (url, seen):
        async with open_session(Credentials(lambda: Login(url))).aiohttp_session as session, session.get(url):
            pass
        assert seen == [""]
