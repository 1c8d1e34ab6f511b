"""From rendered JSON values to the bytes that go over xDS. Used by agent.py.

Encoding is what an update of thousands of Models costs, so each cluster, each set of endpoints and each name's entry in
the route table is encoded once, and again only when what it depends on differs. A field that Envoy has not is an error
here already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from berth_gateway.part import Part, Parts
from berth_gateway.protos import envoy_pool
from berth_gateway.render import Resources
from berth_gateway.routes import ROUTE_CONFIG, route_table

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment"
_ROUTES = "envoy.config.route.v3.RouteConfiguration"
_ENTRY = "xds.type.matcher.v3.Matcher.OnMatch"


@dataclass(frozen=True)
class Encoded:
    """The three resource types by name, each as the bytes of its message."""

    clusters: Mapping[str, bytes] = field(default_factory=dict)
    endpoints: Mapping[str, bytes] = field(default_factory=dict)
    routes: Mapping[str, bytes] = field(default_factory=dict)


class Codec:
    """Encodes one state after the other, and remembers the parts of the last one."""

    def __init__(self) -> None:
        self._clusters = _Memory(_CLUSTER)
        self._endpoints = _Memory(_ENDPOINTS)
        self._entries = _Memory(_ENTRY)
        self._table: tuple[Mapping[str, bytes], bytes] | None = None

    def encode(self, resources: Resources) -> Encoded:
        """The bytes of all resources. Raises `google.protobuf.json_format.ParseError` for what is no such message."""
        return Encoded(
            clusters=self._clusters.encode(resources.clusters),
            endpoints=self._endpoints.encode(resources.endpoints),
            routes={ROUTE_CONFIG: self._join(self._entries.encode(resources.names))},
        )

    def _join(self, entries: Mapping[str, bytes]) -> bytes:
        if self._table is None or self._table[0] != entries:
            self._table = (entries, _join(entries))
        return self._table[1]


class _Memory:
    """The bytes of messages of one type by name, encoded again only when their source differs from the last time."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._known: dict[str, tuple[object, bytes]] = {}

    def encode(self, parts: Parts) -> dict[str, bytes]:
        self._known = {name: self._encode(name, part) for name, part in parts.items()}
        return {name: encoded for name, (_, encoded) in self._known.items()}

    def _encode(self, name: str, part: Part) -> tuple[object, bytes]:
        known = self._known.get(name)
        if known is not None and known[0] == part.source:
            return known
        return part.source, _parse(self._message, part.make()).SerializeToString(deterministic=True)


def _join(entries: Mapping[str, bytes]) -> bytes:
    """The route table with its entries put in."""
    message: Any = _parse(_ROUTES, route_table({}))
    models = message.virtual_hosts[0].matcher.matcher_list.matchers[1].on_match.matcher
    names = models.matcher_tree.exact_match_map.map
    for name, entry in entries.items():
        names[name].ParseFromString(entry)
    # Equal tables must be equal bytes, and a map has no order of its own.
    return bytes(message.SerializeToString(deterministic=True))


def _parse(message: str, value: dict[str, Any]) -> Message:
    pool = envoy_pool()
    blank = GetMessageClass(pool.FindMessageTypeByName(message))()
    return json_format.ParseDict(value, blank, descriptor_pool=pool)
