"""The reflector against a real API server that is killed, loses its history, or falls silent."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from api_server import ApiServer, running_api_server
from cluster_contract import config_map

from berth_kube.backoff import Backoff
from berth_kube.client import HttpCluster, Timeouts, connect
from berth_kube.cluster import Page, Scope
from berth_kube.reflector import Reflector
from berth_kube.resources import CONFIG_MAPS, Key, Object, Resource
from berth_kube.store import ObjectStore

pytestmark = pytest.mark.needs("kube")
DEADLINE_SECONDS = 60
SCOPE = Scope("default", labels="of=outages")


class Reflection:
    """A reflector that runs, and what it did."""

    def __init__(self, cluster: HttpCluster) -> None:
        self.lists = 0
        self.changes: list[tuple[str | None, str | None]] = []
        self.store = ObjectStore()
        self.reflector = Reflector(
            _Counting(cluster, self), CONFIG_MAPS, SCOPE, self.store, self._note, backoff=Backoff(most_seconds=1)
        )

    def _note(self, old: Object | None, new: Object | None) -> None:
        self.changes.append((_text(old), _text(new)))

    async def until_it_holds(self, **data: str) -> None:
        """Wait until the store has exactly these objects, each with this value of `x`."""
        wanted = {Key("default", name): value for name, value in data.items()}
        async with asyncio.timeout(DEADLINE_SECONDS):
            while {key: obj["data"]["x"] for key, obj in self.store.items()} != wanted:
                await asyncio.sleep(0.02)


class _Counting:
    """Counts the lists that go through."""

    def __init__(self, cluster: HttpCluster, reflection: Reflection) -> None:
        self.watch = cluster.watch
        self._cluster = cluster
        self._reflection = reflection

    async def list_page(self, resource: Resource, scope: Scope, **options: object) -> Page:
        page = await self._cluster.list_page(resource, scope, **options)  # type: ignore[arg-type]
        self._reflection.lists += not options.get("metadata_only", False)
        return page

    def __getattr__(self, name: str) -> object:
        return getattr(self._cluster, name)


def _text(obj: Object | None) -> str | None:
    return None if obj is None else obj["metadata"]["name"] + obj["data"]["x"]


@asynccontextmanager
async def reflecting(server: ApiServer, timeouts: Timeouts = Timeouts()) -> AsyncIterator[Reflection]:  # noqa: B008
    async with connect(server.credentials(), timeouts=timeouts) as cluster:
        reflection = Reflection(cluster)
        task = asyncio.create_task(reflection.reflector.run())
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await reflection.reflector.synced.wait()
            yield reflection
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def put(server: ApiServer, name: str, x: str) -> None:
    async with connect(server.credentials()) as cluster:
        await cluster.apply(CONFIG_MAPS, config_map("default", name, labels={"of": "outages"}, x=x), manager="test")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("broken-api-server")) as server:
        yield server


async def test_a_restart_goes_on_from_the_last_version_and_a_lost_history_lists_anew(server: ApiServer) -> None:
    for name in ("stays", "vanishes"):
        await put(server, name, "1")
    async with reflecting(server) as reflection:
        await reflection.until_it_holds(stays="1", vanishes="1")
        await asyncio.to_thread(server.stop_api, hard=True)
        await asyncio.to_thread(server.start_api)
        await put(server, "stays", "2")
        await reflection.until_it_holds(stays="2", vanishes="1")

        await asyncio.to_thread(server.stop_api, hard=True)
        key = b"/registry/configmaps/default/vanishes"
        assert (await asyncio.to_thread(lambda: server.ask_etcd("kv/deleterange", key=key)))["deleted"] == "1"
        await asyncio.to_thread(server.compact)
        await asyncio.to_thread(server.start_api)
        await reflection.until_it_holds(stays="2")
        assert reflection.lists == 2
    assert reflection.changes == [
        (None, "stays1"),
        (None, "vanishes1"),
        ("stays1", "stays2"),
        ("vanishes1", None),
    ]


async def test_a_cluster_made_anew_under_the_same_address_is_listed_anew(server: ApiServer) -> None:
    for number in range(20):
        await put(server, "old", str(number))
    async with reflecting(server) as reflection:
        await reflection.until_it_holds(old="19")
        await asyncio.to_thread(server.lose_everything)
        await put(server, "new", "1")
        await reflection.until_it_holds(new="1")


async def test_a_stream_without_a_sign_of_life_is_opened_again_and_nothing_is_missed(api_server: ApiServer) -> None:
    async with reflecting(api_server, Timeouts(silence_seconds=0.3)) as reflection:
        for x in ("1", "2", "3"):
            heard = reflection.reflector.trouble
            async with asyncio.timeout(DEADLINE_SECONDS):
                while reflection.reflector.trouble == heard:
                    await asyncio.sleep(0.01)
            await put(api_server, "a", x)
            await reflection.until_it_holds(a=x)
        assert reflection.lists == 1
