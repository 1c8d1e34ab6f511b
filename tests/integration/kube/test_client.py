"""What the client makes of answers that an API server gives rarely, and of those that are none."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from api_server_scripted import ScriptedServer

from berth_api.errors import InvalidSpec
from berth_kube.client import HttpCluster, Timeouts, connect
from berth_kube.cluster import Change, Scope, WatchEvent
from berth_kube.credentials import Credentials
from berth_kube.errors import ClusterError, Expired, Overloaded, Unauthorized, Unreachable
from berth_kube.lines import LINE_MAX_BYTES
from berth_kube.login import Login
from berth_kube.resources import CONFIG_MAPS, Key

A = Key("default", "a")
HTML = b"<html>sign in</html>"


def line(kind: str, version: int, **more: object) -> bytes:
    obj = {"metadata": {"name": "a", "namespace": "default", "resourceVersion": str(version)}, **more}
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest_asyncio.fixture
async def cluster(server: ScriptedServer) -> AsyncIterator[HttpCluster]:
    async with connect(server.credentials(), timeouts=Timeouts(0.3, 0.3, 0.3)) as cluster:
        yield cluster


async def watch(cluster: HttpCluster) -> list[WatchEvent]:
    """Every event up to the end of the stream, without the first, which says that it is open."""
    return [event async for event in cluster.watch(CONFIG_MAPS, Scope("default"), since="1")][1:]


async def test_a_refused_token_is_read_again_once(server: ScriptedServer) -> None:
    server.answer(status=401)
    server.answer(b'{"metadata": {}}')
    async with connect(server.credentials("old", "new")) as cluster:
        await cluster.get(CONFIG_MAPS, A)
    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer old", "Bearer new"]


async def test_a_token_that_is_refused_twice_is_unauthorized(server: ScriptedServer) -> None:
    for _ in range(2):
        server.answer(status=401)
    async with connect(server.credentials("old", "new")) as cluster:
        with pytest.raises(Unauthorized):
            await cluster.get(CONFIG_MAPS, A)


async def test_credentials_that_can_not_be_read_stop_the_connection_before_it_begins() -> None:
    def read() -> Login:
        raise InvalidSpec

    with pytest.raises(InvalidSpec):
        async with connect(Credentials(read)):
            raise AssertionError


async def test_a_watch_asks_for_bookmarks_and_for_an_end_within_minutes(
    server: ScriptedServer, cluster: HttpCluster
) -> None:
    server.stream([])
    await watch(cluster)
    (asked,) = server.asked
    assert asked.path == "/api/v1/namespaces/default/configmaps"
    assert asked.headers["User-Agent"] == "berth"
    assert 240 <= int(asked.query["timeoutSeconds"]) <= 300
    assert (asked.query["allowWatchBookmarks"], asked.query["resourceVersion"]) == ("true", "1")


async def test_lines_are_put_together_from_any_pieces(server: ScriptedServer, cluster: HttpCluster) -> None:
    body = line("ADDED", 2, data={"x": "ö"}) + line("MODIFIED", 3, data={"x": "y" * 300_000}) + line("BOOKMARK", 9)
    pieces = [body[at : at + 7] for at in range(0, 100, 7)] + [body[105:]]
    server.stream(pieces)
    events = await watch(cluster)
    assert [event.change for event in events] == [Change.ADDED, Change.MODIFIED, Change.BOOKMARK]
    assert (events[0].object["data"]["x"], len(events[1].object["data"]["x"])) == ("ö", 300_000)


async def test_the_rest_of_a_line_that_was_cut_is_dropped(server: ScriptedServer, cluster: HttpCluster) -> None:
    server.stream([line("ADDED", 2), line("MODIFIED", 3)[:-20]])
    assert [event.change for event in await watch(cluster)] == [Change.ADDED]


@pytest.mark.parametrize(
    "chunk",
    [
        HTML + b"\n",
        b'{"type": "ADDED"}\n',
        b'{"type": "NEWS", "object": {"metadata": {"name": "a", "resourceVersion": "1"}}}\n',
        b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": "1"}}}\n',
        b'{"type": "BOOKMARK", "object": {"metadata": {}}}\n',
        b"[]\n",
        b"\xff\n",
        b"\n",
    ],
)
async def test_what_is_no_line_of_a_watch_is_unreachable(
    server: ScriptedServer, cluster: HttpCluster, chunk: bytes
) -> None:
    server.stream([chunk])
    with pytest.raises(Unreachable, match="no line of a watch"):
        await watch(cluster)


async def test_a_line_without_end_is_given_up(server: ScriptedServer, cluster: HttpCluster) -> None:
    server.stream([b"x" * 1024 * 1024] * (LINE_MAX_BYTES // 1024 // 1024 + 2))
    with pytest.raises(Unreachable, match="more than"):
        await watch(cluster)


async def test_an_error_line_is_the_error_that_it_names(server: ScriptedServer, cluster: HttpCluster) -> None:
    status = {"kind": "Status", "code": 410, "message": "too old resource version"}
    server.stream([json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"])
    with pytest.raises(Expired):
        await watch(cluster)


@pytest.mark.parametrize("then", ["hang", "cut"])
async def test_a_stream_that_falls_silent_or_breaks_is_unreachable(
    server: ScriptedServer, cluster: HttpCluster, then: str
) -> None:
    server.stream([line("ADDED", 2)], then=then)  # type: ignore[arg-type]
    seen: list[Change] = []

    async def note() -> None:
        async for event in cluster.watch(CONFIG_MAPS, Scope("default"), since="1"):
            seen.append(event.change)  # noqa: PERF401 - what came before the end is wanted, whatever the end

    with pytest.raises(Unreachable):
        await note()
    assert seen == [Change.BOOKMARK, Change.ADDED]


async def test_a_call_without_an_answer_ends_in_its_time(server: ScriptedServer, cluster: HttpCluster) -> None:
    with pytest.raises(Unreachable, match="did not answer in time"):
        await cluster.get(CONFIG_MAPS, A)


@pytest.mark.parametrize("body", [HTML, b"", b"[]", b"\xff"])
async def test_what_is_no_object_is_unreachable(server: ScriptedServer, cluster: HttpCluster, body: bytes) -> None:
    server.answer(body)
    with pytest.raises(Unreachable, match="is a proxy or another service there"):
        await cluster.get(CONFIG_MAPS, A)


@pytest.mark.parametrize("body", [b"{}", b'{"metadata": 1, "items": []}', b'{"metadata": {}, "items": 5}'])
async def test_what_is_no_list_is_unreachable(server: ScriptedServer, cluster: HttpCluster, body: bytes) -> None:
    server.answer(body)
    with pytest.raises(Unreachable, match="is a proxy or another service there"):
        await cluster.list_page(CONFIG_MAPS, Scope())


async def test_a_list_without_items_is_empty(server: ScriptedServer, cluster: HttpCluster) -> None:
    server.answer(b'{"metadata": {"resourceVersion": "7"}, "items": null}')
    page = await cluster.list_page(CONFIG_MAPS, Scope())
    assert (list(page.items), page.version, page.more) == ([], "7", "")


async def test_a_redirect_is_not_followed(server: ScriptedServer, cluster: HttpCluster) -> None:
    server.answer(status=302, headers={"Location": "https://example.invalid/"})
    with pytest.raises(Unreachable):
        await cluster.get(CONFIG_MAPS, A)


async def test_an_overloaded_server_says_when_to_come_back(server: ScriptedServer, cluster: HttpCluster) -> None:
    server.answer(status=429, headers={"Retry-After": "4"})
    with pytest.raises(Overloaded) as caught:
        await cluster.get(CONFIG_MAPS, A)
    assert caught.value.retry_after_seconds == 4


async def test_nobody_at_the_address_is_unreachable() -> None:
    async with connect(Credentials(lambda: Login("http://127.0.0.1:1"))) as cluster:
        for ask in (cluster.get(CONFIG_MAPS, A), watch(cluster)):
            with pytest.raises(ClusterError, match="can't be reached") as caught:
                await ask
            assert isinstance(caught.value, Unreachable)
