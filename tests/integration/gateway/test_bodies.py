"""How the gateway finds the model in a body of any size and form, and what a wrong body gets."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from fake_engine import FakeEngine, running_engine
from gateway_process import Gateway, running_gateway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai_requests import CHAT, Reply, send
from snapshots import model, ready, snapshot_of

pytestmark = [pytest.mark.needs("envoy"), pytest.mark.asyncio(loop_scope="module")]

MIB = 1 << 20


@dataclass
class House:
    gateway: Gateway
    engine: FakeEngine

    async def post(self, body: object, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await send(self.gateway.session, self.gateway.url + CHAT, body, headers=named)

    async def post_chunked(self, body: bytes) -> Reply:
        return await self.post(pieces(body))


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), MIB):
        yield body[start : start + MIB]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(running_engine("qwen"))
        snapshot = snapshot_of(model("qwen", aliases=["smollm2"]), states={"qwen": ready(engine.endpoint)})
        yield House(await stack.enter_async_context(running_gateway(snapshot)), engine)


async def test_a_body_of_20_mib_arrives_whole(house: House) -> None:
    body = json.dumps({"input": "x" * (20 * MIB), "model": "qwen"}).encode()
    assert (await house.post(body)).model == "qwen"
    assert house.engine.seen[-1].body_bytes == len(body)


async def test_a_chunked_body_arrives_whole(house: House) -> None:
    body = json.dumps({"input": list(range(500_000)), "model": "qwen"}).encode()
    assert (await house.post_chunked(body)).model == "qwen"
    assert house.engine.seen[-1].body_bytes == len(body)


async def test_a_body_of_20_mib_for_nobody_is_answered_too(house: House) -> None:
    reply = await house.post(json.dumps({"input": "x" * (20 * MIB), "model": "nobody"}).encode())
    assert reply.status == 404


async def test_an_unknown_model_is_404_with_a_suggestion(house: House) -> None:
    reply = await house.post({"model": "smolm2"})
    assert reply.status == 404
    assert reply.error == {
        "message": "The model `smolm2` does not exist. Did you mean `smollm2`? GET /v1/models lists the names.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.parametrize(
    "name", ["a\r\nx-berth-model: qwen", "日本語", "%2e", "x" * 5000, '"}', "a/b/c", "!missing", " qwen"]
)
async def test_a_strange_name_is_just_unknown(house: House, name: str) -> None:
    reply = await house.post({"model": name})
    assert reply.error["code"] == "model_not_found"
    assert name[:60] in reply.error["message"]


@pytest.mark.parametrize(
    "body", [{}, {"model": None}, {"model": 5}, {"model": ""}, {"model": ["qwen"]}, {"Model": "qwen"}]
)
async def test_a_body_without_a_name_is_400(house: House, body: object) -> None:
    reply = await house.post(body)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "missing_required_parameter", "model")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b'"qwen"',
        b'{"model": "qwen"',
        b'{"model": "qwen"}}',
        b'{"model" "qwen"}',
        b'{model: "qwen"}',
        b"model=qwen",
        b'{"model": "qwen", "x": [1, 2}',
        gzip.compress(b'{"model": "qwen"}', mtime=0),
    ],
)
async def test_a_body_that_is_no_json_object_is_400(house: House, body: bytes) -> None:
    seen = len(house.engine.seen)
    reply = await house.post(body)
    assert reply.status == 400
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["code"] in {"invalid_json", "missing_required_parameter"}
    assert len(house.engine.seen) == seen


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a"]
)
async def test_json_under_another_content_type_is_400(house: House, content_type: str) -> None:
    reply = await house.post({"model": "qwen"}, content_type=content_type)
    assert (reply.status, reply.error["code"]) == (400, "invalid_json")
    assert "application/json" in reply.error["message"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"]
)
async def test_the_content_type_is_read_as_http_says(house: House, content_type: str) -> None:
    assert (await house.post({"model": "qwen"}, content_type=content_type)).model == "qwen"


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"model": "qwen"}',
        b' \r\n\t{ "model" : "qwen" } \n',
        b'{"mod\\u0065l": "qw\\u0065n"}',
        b'{"model": "nobody", "model": "qwen"}',
        b'{"messages": [{"model": "nobody", "content": "\\"model\\": \\"nobody\\" }]["}], "model": "qwen"}',
        b'{"model": "default\\/qwen"}',
        b'{"a": -1.5e3, "b": true, "c": null, "d": {}, "e": [], "model": "qwen", "f": ""}',
    ],
)
async def test_the_name_is_found_however_the_json_is_written(house: House, body: bytes) -> None:
    assert (await house.post(body)).status == 200


LIMIT = 32 * MIB


async def test_a_body_over_the_limit_is_413_at_once_where_its_length_is_announced(house: House) -> None:
    async def never_sent() -> AsyncIterator[bytes]:
        yield b'{"model": "qwen"'

    reply = await house.post(never_sent(), content_length=str(LIMIT + 1))
    assert reply.status == 413
    assert reply.error["code"] == "request_too_large"
    assert "32 MiB" in reply.error["message"]


async def test_a_chunked_body_over_the_limit_is_413(house: House) -> None:
    reply = await house.post_chunked(b'{"model": "qwen", "input": "' + b"x" * LIMIT + b'"}')
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


async def test_a_body_just_below_the_limit_passes(house: House) -> None:
    frame = b'{"model": "qwen", "input": ""}'
    reply = await house.post(frame.replace(b'""', b'"' + b"x" * (LIMIT - len(frame)) + b'"'))
    assert reply.model == "qwen"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["model", "stream", "messages", "m", '"', "\\"]) | st.text(max_size=6)


@given(
    body=st.dictionaries(keys, json_values, max_size=5),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_scan_finds_what_pythons_parser_finds(
    house: House, body: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    try:
        raw = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode()
    except UnicodeEncodeError:
        return
    name = body.get("model")
    reply = await house.post(raw)
    if isinstance(name, str) and name:
        assert reply.error["message"].startswith(f"The model `{name}` does not exist.")
    else:
        assert reply.error["code"] == "missing_required_parameter"


async def test_a_name_across_two_slices_of_the_scan_is_found(house: House) -> None:
    slice_bytes = 262_144
    for shift in range(20):
        head = b'{"input": "' + b"x" * (slice_bytes - 40 + shift) + b'", "model": "'
        reply = await house.post(head + b'nobody-here"}')
        assert "`nobody-here`" in reply.error["message"]
