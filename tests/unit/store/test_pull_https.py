"""Pulling one file from a web server: one version, resumed only if it is still that version."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import lies
import pytest
from aiohttp import web
from lying_site import sha256
from lying_web import FakeWeb
from oci_artifacts import random_bytes
from pulls import CHUNK, QUICK

from berth_api.errors import UnsupportedModel
from berth_store.digest import Digest
from berth_store.errors import (
    DigestMismatch,
    SourceNotFound,
    SourceUnauthorized,
    SourceUnreachable,
)
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.ranges import even_chunk_bytes
from berth_store.registries import RegistryConfig
from berth_store.sources.access import SourceAccess
from berth_store.sources.address import Name, source_name
from berth_store.sources.identity import content_digest, stored_digest

CONTENT = random_bytes(8 * CHUNK + 123, seed=8)
OTHER = random_bytes(8 * CHUNK + 123, seed=9)


@pytest.fixture
async def site() -> AsyncIterator[FakeWeb]:
    async with FakeWeb(files={"/a b/model.gguf": CONTENT}) as server:
        yield server


def model_at(site: FakeWeb, digest: str | None = None) -> Name:
    return source_name(site.uri("/a%20b/model.gguf"), digest)


def config(folder: Path | None = None) -> RegistryConfig:
    variables = {"BERTH_SOURCE_SECRET": str(folder)} if folder else {}
    return replace(QUICK, access=SourceAccess.from_environment(variables))


def assert_here(store: Store, digest: Digest, content: bytes = CONTENT) -> None:
    assert (store.view(digest) / "model.gguf").read_bytes() == content
    assert find_damage(store) == ()


async def test_a_file_comes_in_ranges_of_one_version(store: Store, site: FakeWeb) -> None:
    assert_here(store, await pull(store, model_at(site), registries=config()))
    tag = site.sent("if-range")
    assert len(tag) == 1
    assert len(site.spans_of("model.gguf")) == 13, "one to ask, twelve chunks"


async def test_a_second_pull_asks_once_and_fetches_nothing(store: Store, site: FakeWeb) -> None:
    first = await pull(store, model_at(site), registries=config())
    site.seen.clear()
    assert await pull(store, model_at(site), registries=config()) == first
    assert [seen.span for seen in site.seen if seen.span] == [lies.Range(0, 1)]


async def test_a_file_that_changes_on_the_way_is_not_mixed(store: Store, site: FakeWeb) -> None:
    async def changing(request: web.Request, content: bytes, span: lies.Range | None) -> web.StreamResponse:
        site.files["/a b/model.gguf"] = OTHER
        return await lies.honest(request, content, span)

    site.lie(lies.honest)
    site.lie(changing)
    with pytest.raises(DigestMismatch, match="was changed while it was being fetched"):
        await pull(store, model_at(site), registries=config())
    assert store.list() == ()
    assert_here(store, await pull(store, model_at(site), registries=config()), OTHER)


async def test_what_an_interrupted_pull_left_of_another_version_is_not_used(store: Store, site: FakeWeb) -> None:
    site.lie(lies.honest, times=5)
    site.always(lies.status(503))
    with pytest.raises(SourceUnreachable):
        await pull(store, model_at(site), registries=config())
    site.files["/a b/model.gguf"] = OTHER
    site.always(lies.honest)
    assert_here(store, await pull(store, model_at(site), registries=config()), OTHER)


async def test_an_interrupted_pull_goes_on_where_it_was(store: Store, site: FakeWeb) -> None:
    site.lie(lies.honest, times=5)
    site.always(lies.status(503))
    with pytest.raises(SourceUnreachable):
        await pull(store, model_at(site), registries=config())
    site.always(lies.honest)
    site.seen.clear()
    assert_here(store, await pull(store, model_at(site), registries=config()))
    fetched = sum(seen.span.length for seen in site.seen if seen.span)
    kept = 4 * even_chunk_bytes(len(CONTENT), CHUNK, QUICK.connections)
    assert fetched <= len(CONTENT) - kept + 1, "what had come is not fetched again"


@pytest.mark.parametrize("kind", ["its own sha256", "the list's digest"])
async def test_a_pin_is_the_files_sha256_or_the_lists_digest(store: Store, site: FakeWeb, kind: str) -> None:
    own = f"sha256:{sha256(CONTENT)}"
    pin = own if kind == "its own sha256" else content_digest([("model.gguf", len(CONTENT), own)])
    digest = await pull(store, model_at(site, pin), registries=config())
    assert_here(store, digest)
    assert stored_digest(store.manifest(digest)) == content_digest([("model.gguf", len(CONTENT), own)])
    site.seen.clear()
    assert await pull(store, model_at(site, pin), registries=config()) == digest
    assert site.seen == [], "what is pinned and here needs no server"


async def test_another_file_than_the_pinned_one_is_refused_and_what_was_there_stays(
    store: Store, site: FakeWeb
) -> None:
    kept = await pull(store, model_at(site), registries=config())
    site.files["/a b/model.gguf"] = OTHER
    with pytest.raises(DigestMismatch, match="pin the digest that is there, or ask whoever changed them"):
        await pull(store, model_at(site, f"sha256:{sha256(CONTENT)}"), registries=config())
    assert store.resolve(model_at(site)) == kept
    assert_here(store, kept)


async def test_the_token_goes_to_the_named_host_and_to_no_other(store: Store, site: FakeWeb, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "host").write_text(f"{site.authority}\n")
    site.password = "Bearer t0ken"
    async with FakeWeb(files=site.files) as elsewhere:
        site.target = elsewhere.address
        assert_here(store, await pull(store, model_at(site), registries=config(tmp_path)))
        assert elsewhere.seen
        assert elsewhere.sent("authorization") == set()
    assert site.sent("authorization") == {"Bearer t0ken"}


async def test_a_password_is_basic(store: Store, site: FakeWeb, tmp_path: Path) -> None:
    for key, value in {"username": "ada", "password": "pässword", "host": site.authority}.items():
        (tmp_path / key).write_text(value)
    site.password = "Basic YWRhOnDDpHNzd29yZA=="
    assert_here(store, await pull(store, model_at(site), registries=config(tmp_path)))


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ({}, "the Secret is not there, or has none of the keys host, token, username, password"),
        ({"token": "x"}, "it names no host; add the key `host`, such as host: 127.0.0.1"),
        ({"token": "x", "host": "other.example"}, "its key `host` says other.example"),
        ({"host": "{site}"}, "the Secret has neither the key `token` nor `username` and `password`"),
        ({"token": "wrong", "host": "{site}"}, "the token in the Secret does not suffice"),
    ],
)
async def test_a_secret_that_does_not_help_says_why(
    store: Store, site: FakeWeb, tmp_path: Path, secret: dict[str, str], said: str
) -> None:
    for key, value in secret.items():
        (tmp_path / key).write_text(value.format(site=site.authority))
    site.password = "Bearer right"
    with pytest.raises(SourceUnauthorized, match=said.replace("(", r"\(")):
        await pull(store, model_at(site), registries=config(tmp_path))


async def test_a_file_that_is_not_there_is_not_found(store: Store, site: FakeWeb) -> None:
    with pytest.raises(SourceNotFound, match="has no such file; check the address"):
        await pull(store, source_name(site.uri("/other.gguf"), None), registries=config())


@pytest.mark.parametrize(
    ("path", "said"), [("/model.tar.gz", "archives are not unpacked"), ("/model.bin", "pickles only")]
)
async def test_what_can_not_be_served_is_not_fetched(store: Store, site: FakeWeb, path: str, said: str) -> None:
    site.files[path] = b"x" * 10
    with pytest.raises(UnsupportedModel, match=said):
        await pull(store, source_name(site.uri(path), None), registries=config())
    assert all(seen.span == lies.Range(0, 1) for seen in site.seen if seen.path == path)


async def test_a_server_that_names_no_version_is_refused(store: Store, site: FakeWeb) -> None:
    site.without = ("ETag",)
    with pytest.raises(SourceUnreachable, match="neither an ETag nor Last-Modified") as refused:
        await pull(store, model_at(site), registries=config())
    assert refused.value.permanent


async def test_the_time_of_the_last_change_is_a_version_too(store: Store, site: FakeWeb) -> None:
    site.without, site.extra = ("ETag",), {"Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert_here(store, await pull(store, model_at(site), registries=config()))
    assert site.sent("if-range") == set(), "a time is too coarse for that; every answer's own is compared"


async def test_a_server_that_does_not_tell_the_size_is_refused(store: Store, site: FakeWeb) -> None:
    async def chunked(request: web.Request, content: bytes, span: lies.Range | None) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(content)
        return response

    site.always(chunked)
    with pytest.raises(SourceUnreachable, match="does not say how large the file is"):
        await pull(store, model_at(site), registries=config())


async def test_redirects_without_end_are_left(store: Store, site: FakeWeb) -> None:
    site.target = site.address
    with pytest.raises(SourceUnreachable, match="more than 6 redirects"):
        await pull(store, model_at(site), registries=config())


LIES = [
    lies.ignore_range,
    lies.another_range,
    lies.another_size,
    lies.fewer_bytes,
    lies.one_byte_more,
    lies.not_satisfiable,
    lies.reset_midway,
    lies.stall,
    lies.reset_at_once,
    lies.status(503),
    lies.status(429, "0"),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: getattr(lie, "__name__", "status"))
async def test_a_lie_costs_nothing_but_time(store: Store, site: FakeWeb, lie: lies.Lie) -> None:
    site.lie(lies.honest)
    site.lie(lie, times=2)
    assert_here(store, await pull(store, model_at(site), registries=config()))


async def test_wrong_bytes_are_found_by_the_pin(store: Store, site: FakeWeb) -> None:
    site.lie(lies.honest)
    site.lie(lies.wrong_bytes)
    with pytest.raises(DigestMismatch):
        await pull(store, model_at(site, f"sha256:{sha256(CONTENT)}"), registries=config())
    assert store.list() == ()
