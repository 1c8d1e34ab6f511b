"""The one place that knows kopf: it brings Models and ModelRoutes in, and nothing else of it is used.

kopf writes nothing this way: no change handlers, finalizers, peering, events. It can't say when its list is complete or
how old its stream is, and it can outlive its own watch; `audit.py` watches over that, and `process.py` over its tasks.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import aiohttp
import kopf

from berth_kube.credentials import Access, Credentials
from berth_kube.resources import Object
from berth_operator.subject import MODEL_ROUTES, MODELS, Kind

Deliver = Callable[[Kind, Object], None]
"""Takes an object that is there, or that was deleted. It must not block and can't fail."""

_BACKOFF_SECONDS: Final = (0.5, 8.0)
_LOGIN_PAUSE_SECONDS: Final = 1.0
# Left out, kopf asks the system for our user's name, and in a container it has none. There are no peers to mistake.
IDENTITY: Final[Any] = "berth-operator"


class Backoffs:
    """Delays between kopf's attempts, without an end: an API server that is away for an hour is no reason to exit.

    kopf takes a new iterator for each request, so this must be no generator: that would run dry for all requests.
    """

    def __iter__(self) -> Iterator[float]:
        delay, longest = _BACKOFF_SECONDS
        while True:
            yield delay
            delay = min(delay * 2, longest)


def register(registry: kopf.OperatorRegistry, credentials: Credentials, *, put: Deliver, drop: Deliver) -> None:
    """Everything that kopf does for us."""

    def take(kind: Kind, event: Any) -> None:
        (drop if event["type"] == "DELETED" else put)(kind, event["object"])

    @kopf.on.event(MODELS.group, MODELS.version, MODELS.plural, registry=registry, id="model")
    async def on_model(event: Any, **_: Any) -> None:
        take(Kind.MODEL, event)

    @kopf.on.event(MODEL_ROUTES.group, MODEL_ROUTES.version, MODEL_ROUTES.plural, registry=registry, id="route")
    async def on_route(event: Any, **_: Any) -> None:
        take(Kind.ROUTE, event)

    logins = 0

    @kopf.on.login(registry=registry, id="berth")
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        nonlocal logins
        logins += 1
        if logins > 1:  # the server refused what we had; kopf would ask again without end and without a pause
            credentials.forget()
            await asyncio.sleep(_LOGIN_PAUSE_SECONDS)
        return open_session(credentials)


def open_session(credentials: Credentials) -> kopf.AiohttpSession:
    """A connection for kopf, which takes the token anew for each request: the kubelet renews it each hour."""

    async def authorize(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if token := credentials.access().token:
            request.headers["Authorization"] = f"Bearer {token}"
        return await handler(request)

    access: Access = credentials.access()
    connector = aiohttp.TCPConnector(limit=0, ssl=access.tls if access.tls is not None else True)
    session = aiohttp.ClientSession(connector=connector, middlewares=(authorize,))
    return kopf.AiohttpSession(server=access.server, aiohttp_session=session)


def kopf_settings() -> kopf.OperatorSettings:
    """Read-only intake that survives what can be survived. Each value has its reason in kopf's watch loop."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = 70.0  # bookmarks come each minute; None would break kopf's arithmetic
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Backoffs()  # an iterable without a length
    settings.queueing.idle_timeout = 0.2  # the default keeps a task for each object through the first list
    settings.queueing.exit_timeout = 0.1
    return settings


async def spawn_intake(
    credentials: Credentials, namespaces: Collection[str], *, put: Deliver, drop: Deliver
) -> Collection["asyncio.Task[Any]"]:
    """Start kopf. The tasks run for ever; when one ends, kopf has failed, and the process must end by `os._exit`.

    kopf takes over the signals of the process: whoever calls this must set its own handlers afterwards.
    """
    registry = kopf.OperatorRegistry()
    register(registry, credentials, put=put, drop=drop)
    return await kopf.spawn_tasks(
        registry=registry,
        settings=kopf_settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=tuple(namespaces),
        identity=IDENTITY,
    )
