"""The server that Envoy asks for its configuration: gRPC on a Unix socket, one aggregated stream. Used by agent.py.

Every stream is a Conversation (discovery.py); here are the socket, the publication of a state, and who waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from berth_api.errors import BerthError, Unavailable
from berth_gateway.codec import Encoded
from berth_gateway.discovery import NOTHING, Conversation, Rejection, State

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_METHOD = "StreamAggregatedResources"

# A request lists the names of all clusters; gRPC's default of 4 MiB ends at some 40,000.
_LONGEST_REQUEST_BYTES = 64 << 20


class UpdateRejected(BerthError):  # noqa: N818 - reads as what happened
    """Envoy refused a configuration; what it served before, it goes on serving."""

    def __init__(self, rejection: Rejection) -> None:
        what = rejection.kind.name.lower()
        super().__init__(f"Envoy refused the new {what}: {rejection.message}; what was served before is still served")


class DiscoveryServer:
    """Holds the state that Envoy is to have. Before the first one it answers nothing, and Envoy keeps what it has.

    `on_connect` is called for each Envoy that comes.
    """

    def __init__(self, socket: Path, on_connect: Callable[[], None] = lambda: None) -> None:
        self._socket = socket
        self._on_connect = on_connect
        self._server: grpc.aio.Server | None = None
        self._target = NOTHING
        self._accepted = NOTHING
        self._waiting: asyncio.Future[None] | None = None
        self._publishing = asyncio.Lock()
        self._streams: set[asyncio.Event] = set()

    @property
    def is_connected(self) -> bool:
        """Whether an Envoy is connected."""
        return bool(self._streams)

    async def start(self) -> None:
        """Listen on the socket; one that a former process left behind is replaced."""
        self._socket.unlink(missing_ok=True)
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", _LONGEST_REQUEST_BYTES)])
        handler = grpc.stream_stream_rpc_method_handler(
            self._converse,
            request_deserializer=DiscoveryRequest.FromString,
            response_serializer=DiscoveryResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),))
        self._server.add_insecure_port(f"unix:{self._socket}")
        await self._server.start()

    async def stop(self) -> None:
        """Close all streams. Envoy goes on with what it has."""
        if self._server is not None:
            await self._server.stop(grace=None)
        self._socket.unlink(missing_ok=True)

    async def publish(self, encoded: Encoded, *, timeout_seconds: float) -> None:
        """Give Envoy a new state, and return when it serves by it.

        Raises UpdateRejected when Envoy refuses it; then the last accepted state is given back. Raises Unavailable when
        Envoy does not answer in time; then the state stays what Envoy is to get.
        """
        async with self._publishing:
            self._waiting = asyncio.get_running_loop().create_future()
            self._aim_at(encoded)
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._waiting
            except TimeoutError as error:
                why = "does not answer" if self.is_connected else f"is not connected to {self._socket}"
                what = f"Envoy {why}: the new configuration was not taken within {timeout_seconds:g} s"
                raise Unavailable(f"{what}; it will be when Envoy answers") from error
            finally:
                self._waiting = None

    def _aim_at(self, encoded: Encoded) -> None:
        self._target = State(self._target.version + 1, encoded)
        for stream in self._streams:
            stream.set()

    async def _converse(self, requests: AsyncIterator[DiscoveryRequest], context: Any) -> None:
        conversation, changed = Conversation(self._accepted), asyncio.Event()
        self._streams.add(changed)
        self._on_connect()
        listening = asyncio.create_task(_listen(requests, conversation, changed))
        try:
            while not listening.done():
                for response in conversation.respond(self._target):
                    await context.write(response)
                self._note(conversation)
                await changed.wait()
                changed.clear()
        finally:
            self._streams.discard(changed)
            listening.cancel()

    def _note(self, conversation: Conversation) -> None:
        """Tell the one who waits how the state on its way has fared."""
        if conversation.version != self._target.version:
            return
        rejection = conversation.rejection
        if rejection is not None:
            self._settle(UpdateRejected(rejection))
            if self._accepted is not NOTHING and self._accepted.encoded != self._target.encoded:
                self._aim_at(self._accepted.encoded)
        elif conversation.has_arrived:
            self._accepted = self._target
            self._settle(None)

    def _settle(self, error: UpdateRejected | None) -> None:
        if self._waiting is None or self._waiting.done():
            return
        if error is None:
            self._waiting.set_result(None)
        else:
            self._waiting.set_exception(error)


async def _listen(
    requests: AsyncIterator[DiscoveryRequest], conversation: Conversation, changed: asyncio.Event
) -> None:
    try:
        async for request in requests:
            conversation.receive(request)
            changed.set()
    finally:
        changed.set()
