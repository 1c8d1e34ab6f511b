"""Pulling from S3: signed as the server reckons, listed page by page, one version of each object."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import lies
import pytest
from aiohttp import web
from lying_bucket import FakeBucket
from lying_web import FakeWeb
from oci_artifacts import random_bytes
from pulls import CHUNK, QUICK

from berth_api.errors import BerthError
from berth_store.errors import DigestMismatch, NoModelInSource, SourceNotFound, SourceUnauthorized, SourceUnreachable
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.registries import RegistryConfig
from berth_store.sources.access import SourceAccess
from berth_store.sources.address import parse_name
from berth_store.sources.identity import stored_digest

WEIGHTS = random_bytes(6 * CHUNK + 5, seed=10)
OBJECTS = {
    "qwen/3/": b"",
    "qwen/3/config.json": b"{}",
    "qwen/3/model with space+ä.safetensors": WEIGHTS,
    "qwen/3/pytorch_model.bin": b"pickle",
    "qwen/30/config.json": b"another model",
    "qwen/alone.gguf": b"GGUF" * 100,
}
TAKEN = {"config.json": b"{}", "model with space+ä.safetensors": WEIGHTS}


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    async with FakeBucket() as server:
        server.hold("models", OBJECTS)
        yield server


def config(bucket: FakeBucket, **changes: str) -> RegistryConfig:
    return replace(QUICK, access=SourceAccess.from_environment({**bucket.environment, **changes}))


def view_of(store: Store, name: str) -> dict[str, bytes]:
    digest = store.resolve(parse_name(name))
    assert digest is not None
    folder = store.view(digest)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_folder_comes_whole_and_signed(store: Store, bucket: FakeBucket) -> None:
    await pull(store, parse_name("s3://models/qwen/3"), registries=config(bucket))
    assert view_of(store, "s3://models/qwen/3") == TAKEN
    assert find_damage(store) == ()


@pytest.mark.parametrize("page_objects", [1, 2])
async def test_a_list_of_many_pages_is_read_to_its_end(store: Store, bucket: FakeBucket, page_objects: int) -> None:
    bucket.page_objects = page_objects
    await pull(store, parse_name("s3://models/qwen/3"), registries=config(bucket))
    assert view_of(store, "s3://models/qwen/3") == TAKEN


async def test_one_object_may_be_named(store: Store, bucket: FakeBucket) -> None:
    await pull(store, parse_name("s3://models/qwen/alone.gguf"), registries=config(bucket))
    assert view_of(store, "s3://models/qwen/alone.gguf") == {"alone.gguf": OBJECTS["qwen/alone.gguf"]}


async def test_patterns_choose_of_a_whole_bucket(store: Store, bucket: FakeBucket) -> None:
    await pull(store, parse_name("s3://models#qwen/3*/*.json"), registries=config(bucket))
    assert set(view_of(store, "s3://models#qwen/3*/*.json")) == {"qwen/3/config.json", "qwen/30/config.json"}


async def test_a_session_token_is_sent_and_signed(store: Store, bucket: FakeBucket) -> None:
    bucket.session_token = "session/token=="
    await pull(store, parse_name("s3://models/qwen/3"), registries=config(bucket))
    assert bucket.sent("x-amz-security-token") == {"session/token=="}


async def test_a_public_bucket_needs_no_keys(store: Store, bucket: FakeBucket) -> None:
    bucket.public = True
    registries = replace(QUICK, access=SourceAccess.from_environment({"AWS_ENDPOINT_URL_S3": bucket.address}))
    await pull(store, parse_name("s3://models/qwen/3"), registries=registries)
    assert bucket.sent("authorization") == set()


async def test_a_secret_names_keys_endpoint_and_region(store: Store, bucket: FakeBucket, tmp_path: Path) -> None:
    given = {"accessKeyId": bucket.key_id, "secretAccessKey": bucket.key, "endpoint": bucket.address}
    for key, value in {**given, "region": bucket.region}.items():
        (tmp_path / key).write_text(f"{value}\n")
    access = SourceAccess.from_environment({"BERTH_SOURCE_SECRET": str(tmp_path)})
    await pull(store, parse_name("s3://models/qwen/3"), registries=replace(QUICK, access=access))
    assert view_of(store, "s3://models/qwen/3") == TAKEN
    assert bucket.key not in repr(access)


async def test_the_signature_does_not_go_to_another_host(store: Store, bucket: FakeBucket) -> None:
    async with FakeWeb(files={"/models/qwen/alone.gguf": b"GGUF" * 100}) as elsewhere:
        elsewhere.extra = {"ETag": f'"{"0" * 32}"'}
        bucket.always(lies.redirect_to(elsewhere.address))
        with pytest.raises(DigestMismatch):  # What lies there has another entity tag.
            await pull(store, parse_name("s3://models/qwen/alone.gguf"), registries=config(bucket))
        assert elsewhere.seen
        assert elsewhere.sent("authorization") == elsewhere.sent("x-amz-date") == set()


@pytest.mark.parametrize(
    ("uri", "changes", "error", "said"),
    [
        ("s3://nowhere/x", {}, SourceNotFound, "has no such bucket or object .it says: NoSuchBucket"),
        ("s3://models/nothing", {}, SourceNotFound, "the bucket has nothing there; check the prefix"),
        ("s3://models/qwen/3", {"AWS_SECRET_ACCESS_KEY": "wrong"}, SourceUnauthorized, "SignatureDoesNotMatch"),
        ("s3://models/qwen/3", {"AWS_ACCESS_KEY_ID": "AKIDOTHER"}, SourceUnauthorized, "keys in AWS_ACCESS_KEY_ID and"),
        ("s3://models/qwen/3", {"AWS_ACCESS_KEY_ID": ""}, SourceUnauthorized, "no keys were given; set AWS_ACCESS"),
        ("s3://models/qwen/3", {"AWS_REGION": "us-east-1"}, SourceUnauthorized, "is in the region eu-central-1, and"),
    ],
)
async def test_a_refusal_says_why_and_what_to_do(
    store: Store, bucket: FakeBucket, uri: str, changes: dict[str, str], error: type[BerthError], said: str
) -> None:
    with pytest.raises(error, match=said):
        await pull(store, parse_name(uri), registries=config(bucket, **changes))
    assert store.list() == ()


async def test_an_object_that_changes_on_the_way_is_not_mixed(store: Store, bucket: FakeBucket) -> None:
    async def changing(request: web.Request, content: bytes, span: lies.Range | None) -> web.StreamResponse:
        bucket.objects["models", "qwen/3/model with space+ä.safetensors"] = random_bytes(len(WEIGHTS), seed=11)
        return await lies.honest(request, content, span)

    bucket.lie(changing)
    with pytest.raises(DigestMismatch, match="was changed while it was being fetched"):
        await pull(store, parse_name("s3://models/qwen/3"), registries=config(bucket))
    assert store.list() == ()


async def test_a_pin_that_is_here_needs_no_server(store: Store, bucket: FakeBucket) -> None:
    digest = await pull(store, parse_name("s3://models/qwen/3"), registries=config(bucket))
    pin = stored_digest(store.manifest(digest))
    bucket.seen.clear()
    assert await pull(store, parse_name(f"s3://models/qwen/3@{pin}"), registries=config(bucket)) == digest
    assert bucket.seen == []


async def test_a_wrong_pin_is_refused_and_what_was_there_stays(store: Store, bucket: FakeBucket) -> None:
    kept = await pull(store, parse_name("s3://models/qwen/3"), registries=config(bucket))
    with pytest.raises(DigestMismatch, match="pin the digest that is there"):
        await pull(store, parse_name("s3://models/qwen/3@sha256:" + "0" * 64), registries=config(bucket))
    assert store.resolve(parse_name("s3://models/qwen/3")) == kept
    assert find_damage(store) == ()


LIES = [lies.ignore_range, lies.another_range, lies.another_size, lies.fewer_bytes, lies.one_byte_more]
LIES += [
    lies.not_satisfiable,
    lies.reset_at_once,
    lies.reset_midway,
    lies.stall,
    lies.status(503),
    lies.status(429, "0"),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: getattr(lie, "__name__", "status"))
async def test_a_lie_costs_nothing_but_time(store: Store, bucket: FakeBucket, lie: lies.Lie) -> None:
    bucket.lie(lie, times=2)
    await pull(store, parse_name("s3://models/qwen/3"), registries=config(bucket))
    assert view_of(store, "s3://models/qwen/3") == TAKEN


async def test_a_busy_server_is_asked_again_after_the_pause_it_wants(store: Store, bucket: FakeBucket) -> None:
    bucket.lie(lies.status(503, "1"))
    begun = time.monotonic()
    await pull(store, parse_name("s3://models/qwen/alone.gguf"), registries=config(bucket))
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize("body", ["<html/>", '<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult/>', "x" * 100])
async def test_a_server_that_speaks_no_s3_is_told(store: Store, body: str) -> None:
    class Other(FakeBucket):
        async def answer(self, request: web.Request, span: lies.Range | None) -> web.StreamResponse:
            return web.Response(text=body)

    async with Other() as other:
        with pytest.raises(SourceUnreachable, match="is the endpoint a server that speaks S3"):
            await pull(store, parse_name("s3://models/x"), registries=config(other))


async def test_more_objects_than_an_artifact_holds_are_refused(store: Store, bucket: FakeBucket) -> None:
    bucket.hold("many", {f"{number:05d}.json": b"" for number in range(4100)})
    with pytest.raises(NoModelInSource, match="there are more than 4,096 objects"):
        await pull(store, parse_name("s3://many"), registries=config(bucket))
