"""From rendered values to bytes: exact, complete, and only where something changed."""

import pytest
from golden_cases import CASES, SETTINGS, as_json, rendered
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from snapshots import model, ready, snapshot_of

from berth_gateway.codec import Codec
from berth_gateway.part import Part
from berth_gateway.protos import envoy_pool
from berth_gateway.render import Resources, render


def decode(kind: str, value: bytes) -> Message:
    message = GetMessageClass(envoy_pool().FindMessageTypeByName(kind))()
    message.ParseFromString(value)
    return message


@pytest.mark.parametrize("case", CASES)
def test_the_route_table_that_is_sent_is_the_one_that_was_rendered(case: str) -> None:
    kind = "envoy.config.route.v3.RouteConfiguration"
    sent = decode(kind, Codec().encode(rendered(case)).routes["gateway"])
    whole = GetMessageClass(envoy_pool().FindMessageTypeByName(kind))()
    json_format.ParseDict(as_json(rendered(case))["routes"], whole, descriptor_pool=envoy_pool())
    assert sent == whole


def test_equal_snapshots_are_equal_bytes() -> None:
    first, second = (Codec().encode(rendered("rules-by-header-with-fallbacks")) for _ in range(2))
    assert first == second


def test_a_second_encoding_reuses_what_did_not_change() -> None:
    codec = Codec()
    objects = (model("one"), model("two"))
    before = codec.encode(render(snapshot_of(*objects), SETTINGS))
    after = codec.encode(render(snapshot_of(*objects, states={"two": ready()}), SETTINGS))
    assert after.clusters["default/one"] is before.clusters["default/one"]
    assert after.endpoints["default/one"] is before.endpoints["default/one"]
    assert after.endpoints["default/two"] != before.endpoints["default/two"]


def test_a_field_that_envoy_has_not_is_an_error() -> None:
    with pytest.raises(json_format.ParseError, match="no_such_field"):
        Codec().encode(Resources({"a": Part("a", lambda: {"name": "a", "no_such_field": 1})}, {}, {}))
