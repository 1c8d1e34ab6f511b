"""A registry that knows what refers to an artifact: it is told by the manifest alone, and asked page by page."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from pulls import QUICK
from signatures import MEDIA_TYPE, PREDICATE

from berth_store.digest import Digest, digest_of
from berth_store.errors import SourceUnauthorized
from berth_store.manifest import Descriptor
from berth_store.reference import Reference
from berth_store.registry import Registry
from berth_store.signing.attached import attach, build_attachment, fetch_attached
from berth_store.transport import Transport

ARTIFACT = digest_of(b"the artifact")
SUBJECT = Descriptor(media_type="application/vnd.oci.image.manifest.v1+json", digest=ARTIFACT, size=12)


@dataclass
class Modern:
    """A registry with the API for referrers, one on each page. `stranger` are pages of what is no signature."""

    port: int = 0
    stranger: int = 0
    status: int = 200
    refuses: bool = False
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def reference(self) -> Reference:
        return Reference.parse(f"127.0.0.1:{self.port}/team/model:1")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        kind, _, name = request.path.removeprefix("/v2/team/model/").partition("/")
        self.asked.append(f"{request.method} {kind}")
        if request.method == "PUT" and self.refuses:
            return web.Response(status=403)
        if request.method == "PUT":
            self.manifests[name] = await request.read()
            return web.Response(status=201, headers={"OCI-Subject": ARTIFACT})
        if kind == "referrers":
            return self._page(request, name)
        content = (self.manifests if kind == "manifests" else self.blobs).get(name)
        return web.Response(body=content, content_type=SUBJECT.media_type) if content else web.Response(status=404)

    def _page(self, request: web.Request, name: str) -> web.Response:
        if self.status != 200:
            return web.Response(status=self.status)
        assert parse_qs(request.query_string)["artifactType"] == [MEDIA_TYPE]
        number = int(request.query.get("n", "0"))
        found = [digest for digest in self.manifests if digest.startswith("sha256:")]
        entry = {
            "mediaType": SUBJECT.media_type,
            "digest": ARTIFACT,
            "size": 1,
            "artifactType": "application/spdx+json",
        }
        if number >= self.stranger:
            digest = found[number - self.stranger]
            entry |= {"digest": digest, "size": len(self.manifests[digest]), "artifactType": MEDIA_TYPE}
        last = number + 1 == self.stranger + len(found)
        following = f"</v2/team/model/referrers/{name}?artifactType={MEDIA_TYPE.replace('+', '%2B')}&n={number + 1}>"
        return web.Response(
            body=json.dumps({"schemaVersion": 2, "manifests": [entry]}),
            content_type="application/vnd.oci.image.index.v1+json",
            headers={} if last else {"Link": f'{following}; rel="next"'},
        )


@pytest.fixture
async def modern() -> AsyncIterator[Modern]:
    registry, app = Modern(), web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    registry.port = runner.addresses[0][1]
    yield registry
    await runner.cleanup()


async def attach_to(modern: Modern, *signatures: bytes) -> None:
    async with Transport(QUICK) as transport:
        registry = Registry(transport, QUICK, modern.reference)
        for signature in signatures:
            digest = digest_of(signature)
            modern.blobs[digest] = signature
            described = Descriptor(media_type="", digest=digest, size=len(signature))
            await attach(registry, modern.reference, ARTIFACT, build_attachment(SUBJECT, described))


async def fetched(modern: Modern, artifact: Digest = ARTIFACT) -> list[bytes]:
    async with Transport(QUICK) as transport:
        return await fetch_attached(Registry(transport, QUICK, modern.reference), modern.reference, artifact)


async def test_what_was_attached_is_found_on_every_page(modern: Modern) -> None:
    await attach_to(modern, b"one", b"two", b"three")
    modern.stranger = 2
    assert await fetched(modern) == [b"one", b"two", b"three"]


async def test_a_registry_that_understands_needs_no_tag(modern: Modern) -> None:
    await attach_to(modern, b"one")
    assert list(modern.manifests) == [digest_of(next(iter(modern.manifests.values())))]


async def test_pages_without_end_are_not_followed(modern: Modern) -> None:
    await attach_to(modern, b"one")
    modern.stranger = 1000
    assert await fetched(modern) == []
    assert modern.asked.count("GET referrers") == 8


async def test_what_refers_says_what_it_is(modern: Modern) -> None:
    await attach_to(modern, b"one")
    manifest = json.loads(next(iter(modern.manifests.values())))
    assert manifest["artifactType"] == manifest["layers"][0]["mediaType"] == MEDIA_TYPE
    assert manifest["subject"] == {"mediaType": SUBJECT.media_type, "digest": ARTIFACT, "size": 12}
    assert manifest["annotations"]["dev.sigstore.bundle.predicateType"] == PREDICATE
    assert manifest["config"]["digest"] == digest_of(b"{}")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
async def test_where_the_api_is_not_known_the_tag_is_asked(modern: Modern, status: int) -> None:
    modern.status = status
    assert await fetched(modern) == []
    assert modern.asked[-2:] == ["GET referrers", "GET manifests"]


async def test_a_registry_that_refuses_an_attachment_says_so(modern: Modern) -> None:
    modern.refuses = True
    with pytest.raises(SourceUnauthorized, match="team/model, its signature"):
        await attach_to(modern, b"one")
