"""Requests to the fake cluster, and the faults that a test has put in their way. Used by fake_cluster.py."""

import asyncio
from dataclasses import dataclass

from berth_kube.errors import ClusterError
from berth_kube.resources import Key, Object, Resource


@dataclass(frozen=True)
class Request:
    """One request that came in. `verb` is the name of the method."""

    verb: str
    resource: Resource
    key: Key | None = None
    body: Object | None = None
    metadata_only: bool = False

    @property
    def writes(self) -> bool:
        return self.verb not in ("get", "list_page", "watch")


@dataclass
class Fault:
    """An error for the next matching requests; with `after` once they have been carried out."""

    error: ClusterError
    verb: str | None
    resource: Resource | None
    key: Key | None
    after: bool
    times: int

    def strikes(self, request: Request) -> bool:
        wanted = ((self.verb, request.verb), (self.resource, request.resource), (self.key, request.key))
        return self.times > 0 and all(want is None or want == got for want, got in wanted)


class Passage:
    """A request on its way: yields to the loop, as a network does, and fails where a fault is due."""

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault
        if fault is not None:
            fault.times -= 1

    async def __aenter__(self) -> None:
        await asyncio.sleep(0)
        if self._fault is not None and not self._fault.after:
            raise self._fault.error

    async def __aexit__(self, kind: object, *_: object) -> None:
        if self._fault is not None and self._fault.after and kind is None:
            raise self._fault.error
