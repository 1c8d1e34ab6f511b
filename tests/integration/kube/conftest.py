"""A connection to the real API server, and a namespace of its own for each test."""

import itertools
from collections.abc import AsyncIterator

import pytest_asyncio
from api_server import ApiServer

from berth_kube.client import HttpCluster, connect
from berth_kube.resources import NAMESPACES

_numbers = itertools.count(1)


@pytest_asyncio.fixture
async def cluster(api_server: ApiServer) -> AsyncIterator[HttpCluster]:
    async with connect(api_server.credentials(), user_agent="berth-tests") as cluster:
        yield cluster


@pytest_asyncio.fixture
async def namespace(cluster: HttpCluster) -> str:
    name = f"kube-{next(_numbers)}"
    await cluster.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name
