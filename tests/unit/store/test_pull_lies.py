"""Pulling from a registry that lies in every way that has been seen, and some that have not."""

import asyncio
from dataclasses import replace

import lies
import pytest
from lies import Lie
from lying_registry import LyingRegistry
from oci_artifacts import MadeArtifact
from pulls import CONTENT, QUICK, assert_whole, of_weights

from berth_store import download
from berth_store.digest import digest_of, hex_of
from berth_store.errors import (
    DigestMismatch,
    SourceUnreachable,
)
from berth_store.local import Store
from berth_store.pull import pull


@pytest.fixture(params=["from the socket", "by the session"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a body comes: a thread takes it from the socket, or the session reads it as it must where there is TLS."""
    if request.param == "by the session":
        monkeypatch.setattr(download, "take_body", lambda response, **_: None)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "lie",
    [
        lies.ignore_range,
        lies.another_range,
        lies.another_size,
        lies.fewer_bytes,
        lies.backward_range,
        lies.one_byte_more,
        lies.not_satisfiable,
        lies.reset_midway,
        lies.reset_at_once,
        lies.stall,
        lies.compressed,
        lies.status(500),
        lies.status(503, "0"),
        lies.status(429, "0"),
        lies.status(502),
    ],
    ids=lambda lie: getattr(lie, "__qualname__", ""),
)
@pytest.mark.parametrize("times", [1, 3])
async def test_a_lie_that_passes_costs_nothing_but_time(
    store: Store, artifact: MadeArtifact, lie: Lie, times: int
) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.honest)
        registry.lie(lie, times=times)
        await pull(store, reference, registries=QUICK)
    assert_whole(store, reference, artifact)


@pytest.mark.parametrize(
    "lie", [lies.ignore_range, lies.another_range, lies.another_size, lies.not_satisfiable, lies.backward_range]
)
async def test_a_server_that_never_does_ranges_is_read_in_one_stream(
    store: Store, artifact: MadeArtifact, lie: Lie
) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(lie)
        await pull(store, reference, registries=QUICK)
    assert_whole(store, reference, artifact)


async def test_wrong_bytes_are_thrown_away_and_fetched_again(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.wrong_bytes, times=2)
        await pull(store, reference, registries=QUICK)
    assert_whole(store, reference, artifact)


@pytest.mark.parametrize("lie", [lies.wrong_bytes, lies.false_content_range])
async def test_wrong_bytes_twice_are_an_error_and_nothing_is_kept(
    store: Store, artifact: MadeArtifact, lie: Lie
) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(of_weights(lie))
        with pytest.raises(DigestMismatch, match="another digest") as failed:
            await pull(store, reference, registries=QUICK)
    assert failed.value.reason == "DigestMismatch"
    assert store.resolve(reference) is None
    assert [path for path in store.ingest.iterdir() if digest_of(CONTENT).endswith(path.stem)] == []
    assert not store.blob_path(digest_of(CONTENT)).exists()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("lie", [lies.reset_midway, lies.stall, lies.status(500), lies.compressed, lies.trickle])
async def test_a_server_that_never_gets_better_is_given_up(store: Store, artifact: MadeArtifact, lie: Lie) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(lie)
        with pytest.raises(SourceUnreachable):
            await asyncio.wait_for(pull(store, reference, registries=QUICK), 30)
        assert len(registry.seen) < 60
    assert store.resolve(reference) is None


async def test_a_pause_that_the_server_asks_for_is_kept(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.status(429, "1"))
        await pull(store, reference, registries=replace(QUICK, connections=1))
        blobs = [seen for seen in registry.seen if "/blobs/" in seen.path]
    by_path = {path: [seen.moment for seen in blobs if seen.path == path] for path in {seen.path for seen in blobs}}
    first, again = by_path[blobs[0].path][:2]
    assert again - first >= 1
    assert_whole(store, reference, artifact)


async def test_a_pause_beyond_patience_is_told_instead_of_kept(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(lies.status(429, "3600"))
        with pytest.raises(SourceUnreachable, match="too many requests") as failed:
            await pull(store, reference, registries=QUICK)
    assert failed.value.retry_after_seconds == 3600


async def test_a_token_that_expires_in_the_middle_is_renewed(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.require_token(uses=5)
        await pull(store, reference, registries=replace(QUICK, connections=2))
    assert len(registry.sent("authorization")) >= 3
    assert_whole(store, reference, artifact)


async def test_no_credential_follows_a_redirect_to_another_host(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry, LyingRegistry() as cdn:
        reference = registry.hold("a/model", artifact)
        cdn.hold("a/model", artifact)
        registry.require_token(uses=1000)
        registry.always(lies.redirect_to(cdn.address))
        await pull(store, reference, registries=QUICK)
        assert registry.sent("authorization")
        assert not cdn.sent("authorization")
        asked = [seen for seen in registry.seen if hex_of(digest_of(CONTENT)) in seen.path]
        fetched = [seen for seen in cdn.seen if hex_of(digest_of(CONTENT)) in seen.path]
    assert len(fetched) == 12
    assert len(asked) <= 1 + QUICK.connections, "the address that a redirect gave is kept while it works"
    assert_whole(store, reference, artifact)


async def test_an_address_that_has_expired_is_asked_for_anew(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry, LyingRegistry() as cdn:
        reference = registry.hold("a/model", artifact)
        cdn.hold("a/model", artifact)
        registry.always(lies.redirect_to(cdn.address))
        cdn.lie(lies.honest, times=3)
        cdn.lie(lies.status(403))
        await pull(store, reference, registries=replace(QUICK, connections=1))
    assert_whole(store, reference, artifact)
