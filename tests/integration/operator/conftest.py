"""A namespace of its own for each test, and a connection to play users, controllers and kubelets in it."""

import itertools
from collections.abc import AsyncIterator

import pytest_asyncio
from api_server import ApiServer
from operator_process import Town

from berth_kube.client import connect
from berth_kube.resources import NAMESPACES

_numbers = itertools.count(1)


@pytest_asyncio.fixture
async def town(api_server: ApiServer) -> AsyncIterator[Town]:
    name = f"operator-{next(_numbers)}"
    async with connect(api_server.credentials(), user_agent="berth-tests") as cluster:
        await cluster.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield Town(cluster, name)
