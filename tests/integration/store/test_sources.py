"""Sources beside registries, as processes meet them: killed again and again, behind TLS and proxies, in a pod's loader.

`BERTH_SOURCE_KILLS` sets how often pulls of each kind are killed; ten times by default, and 67 by `make nightly`.
"""

import asyncio
import os
import random
import signal
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from fetch_process import run_resolver, start_loader
from folder_builders import as_bytes, sentence_files
from gguf_builders import LLAMA_TENSORS, Tensor, gguf, llama_metadata
from lying_bucket import FakeBucket
from lying_hub import FakeHub
from lying_site import LyingSite
from lying_web import FakeWeb
from oci_artifacts import random_bytes
from pull_child import Puller
from safetensors_builders import safetensors

from berth_store.integrity import find_damage
from berth_store.journal import read_journal
from berth_store.local import Store
from berth_store.ranges import Ranges
from berth_store.sources.address import parse_name

pytestmark = pytest.mark.timeout(300)
MIB = 1024 * 1024
SIZE = 24 * MIB + 4321
CHUNK = MIB // 4
KILLS = int(os.environ.get("BERTH_SOURCE_KILLS", "10"))
# Of one pull at most: what is left of it must be long enough for a kill to meet it.
KILLS_OF_ONE = 10
# What a kill may cost: a chunk under way on each of eight connections, and what their sockets held.
LOST_BYTES = 8 * 2 * CHUNK
MODEL = as_bytes(sentence_files())


@dataclass(frozen=True)
class Case:
    """A source with one large file: its name, who sends the file, and what a process has to have in its environment."""

    name: str
    sender: LyingSite
    environ: Mapping[str, str]
    path: str


@asynccontextmanager
async def serving(kind: str, content: bytes) -> AsyncIterator[Case]:
    if kind == "hf":
        async with FakeHub() as hub:
            hub.tokens = {"hf_secret"}
            hub.hold("org/model", {**MODEL, "model.safetensors": content}, gated=True)
            environ = {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_secret"}
            yield Case("hf://org/model", hub.cdn, environ, "model.safetensors")
            assert hub.cdn.sent("authorization") == set(), "the token is for the hub alone"
            assert hub.sent("authorization") == {"Bearer hf_secret"}
    elif kind == "https":
        name = "model.gguf" if content.startswith(b"GGUF") else "model.safetensors"
        async with FakeWeb({f"/{name}": content}) as site:
            yield Case(site.uri(f"/{name}"), site, {}, name)
    else:
        async with FakeBucket(session_token="a/session") as bucket:
            bucket.hold("models", {"m/model.safetensors": content, **{f"m/{path}": MODEL[path] for path in MODEL}})
            yield Case("s3://models/m", bucket, bucket.environment, "model.safetensors")


def kept_in(store: Store, size: int) -> Ranges:
    """What the journals of a killed pull say is there of its large file."""
    kept = Ranges()
    for journal in store.ingest.glob("*.journal"):
        for record in read_journal(journal, size):
            kept.add(record.span)
    return kept


@pytest.mark.timeout(240 + 15 * KILLS)
@pytest.mark.parametrize("kind", ["hf", "https", "s3"])
async def test_a_pull_killed_again_and_again_fetches_no_kept_byte_twice(tmp_path: Path, kind: str) -> None:
    for done in range(0, KILLS, KILLS_OF_ONE):
        await kill_a_pull(tmp_path / str(done), kind, kills=min(KILLS_OF_ONE, KILLS - done), seed=done)


async def kill_a_pull(root: Path, kind: str, *, kills: int, seed: int) -> None:
    content = random_bytes(SIZE, seed=31)
    store, chance = Store(root / "store"), random.Random(seed)
    kept_bytes = [0]
    async with asyncio.timeout(60 + 10 * kills), serving(kind, content) as case, Puller(case.environ) as puller:
        case.sender.be_slow(4 * MIB)
        for _ in range(kills):
            kept, first = kept_in(store, SIZE), len(case.sender.seen)
            child = await puller.start(store.root, case.name, chunk_bytes=CHUNK)
            # Little enough for each, so that the last kill still meets a pull that is under way.
            share = max((SIZE - kept_bytes[-1]) // 6, 1)
            await case.sender.wait_for_sent(case.sender.sent_bytes + chance.randrange(1, share + 1))
            os.kill(child, signal.SIGKILL)
            assert await puller.ending() == -signal.SIGKILL
            assert store.resolve(parse_name(case.name)) is None, "nothing has a name before it is whole"
            for seen in case.sender.seen[first:]:
                is_question = kind == "https" and seen.span is not None and seen.span.length == 1
                if seen.span is not None and not is_question:
                    assert not kept.overlaps(seen.span), f"{seen.span} was asked for again"
            kept_bytes.append(kept_in(store, SIZE).total)
        before = case.sender.sent_bytes
        await puller.start(store.root, case.name, chunk_bytes=CHUNK)
        assert await puller.ending() == 0
        last = case.sender.sent_bytes - before
    assert kept_bytes == sorted(kept_bytes), "what was kept is never lost"
    assert kept_bytes[-1] > MIB
    assert last <= SIZE - kept_bytes[-1] + LOST_BYTES, "the last pull fetches what was missing and no more"
    digest = store.resolve(parse_name(case.name))
    assert digest is not None
    assert (store.view(digest) / case.path).read_bytes() == content
    assert find_damage(store) == ()
    assert {path.suffix for path in store.ingest.iterdir()} <= {".receipt"}
    print(f"{kind}: kept after each kill, in KiB: {[count // 1024 for count in kept_bytes]}; last pull {last // 1024}")


@pytest.mark.parametrize("kind", ["hf", "https", "s3"])
async def test_resolver_and_loader_bring_a_model_to_its_place(tmp_path: Path, kind: str) -> None:
    weights = safetensors({"embeddings.weight": ("F32", (1024, 2048))})
    if kind == "https":
        weights = bytes(gguf(llama_metadata(), [*LLAMA_TENSORS, Tensor("output.weight", (1024, 2048))]).content)
    async with asyncio.timeout(120), serving(kind, weights) as case:
        status, word = await run_resolver(tmp_path, case.name, environ=case.environ)
        assert status == 0, word
        assert sum(seen.span.length for seen in case.sender.seen if seen.span) < len(weights) // 4
        options = ["--digest", word["artifact"]["digest"]]
        options += ["--revision", word["revision"]] if "revision" in word else []
        async with start_loader(tmp_path, case.name, *options, environ=case.environ) as loader:
            assert await loader.ended() == 0, loader.last_word()
        assert (loader.model / word["weights"]).read_bytes() == weights
    # Neither source nor credentials are needed where what was resolved is there.
    (tmp_path / "models/model").unlink()
    async with start_loader(tmp_path, case.name, *options) as again:
        assert await again.ended() == 0, again.last_word()
    assert (again.model / word["weights"]).read_bytes() == weights


@pytest.mark.parametrize(
    ("prepare", "reason", "said"),
    [
        ({"gated": True}, "LicenseGated", "its makers want their licence accepted first; open http://127.0.0.1"),
        ({"private": True}, "SourceNotFound", "or does not show it to you; check the spelling"),
    ],
)
async def test_a_refusal_reaches_the_termination_message(
    tmp_path: Path, prepare: dict[str, bool], reason: str, said: str
) -> None:
    async with FakeHub() as hub:
        hub.hold("org/model", MODEL | {"model.safetensors": random_bytes(1000)}, **prepare)
        status, word = await run_resolver(tmp_path, "hf://org/model", environ={"HF_ENDPOINT": hub.address})
        assert (status, word["reason"]) == (1, reason)
        assert said in word["message"]


@pytest.mark.parametrize("source", ["hf://a/b/c/d", "s3://B/x", "https://host/", "gs://bucket/model", "pvc://claim/x"])
async def test_an_address_that_can_not_be_is_told_as_the_users_mistake(tmp_path: Path, source: str) -> None:
    status, word = await run_resolver(tmp_path, source)
    assert (status, word["reason"]) == (1, "InvalidSpec")


async def test_behind_tls_a_bundle_is_needed_and_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    content = bytes(gguf(llama_metadata(), LLAMA_TENSORS).content)
    site = FakeWeb({"/model.gguf": content})
    site.certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(site.certificate)
    async with site:
        status, word = await run_resolver(tmp_path, site.uri("/model.gguf"))
        assert (status, word["reason"]) == (1, "SourceUnreachable")
        assert "name a bundle that holds its CA in BERTH_CA_BUNDLE" in word["message"]
        assert site.seen == [], "nothing is asked in plain HTTP of a host that speaks TLS"
        status, word = await run_resolver(tmp_path, site.uri("/model.gguf"), environ={"SSL_CERT_FILE": str(bundle)})
        assert status == 0, word
        site.target = "http://files.example.com"
        status, word = await run_resolver(tmp_path, site.uri("/model.gguf"), environ={"SSL_CERT_FILE": str(bundle)})
        assert "it sends us to http://files.example.com, which is not https" in word["message"]


async def test_a_proxy_is_used_and_no_proxy_is_heeded(tmp_path: Path) -> None:
    async with FakeHub() as hub:
        hub.hold("org/model", MODEL | {"model.safetensors": safetensors()})
        # A proxy for plain HTTP is a server that is asked for whole addresses, and the fake answers those too.
        environ = {"HF_ENDPOINT": "http://hub.invalid", "BERTH_INSECURE_REGISTRIES": "hub.invalid"}
        environ["http_proxy"] = hub.address
        status, word = await run_resolver(tmp_path, "hf://org/model", environ=environ)
        assert status == 0, word
        assert {seen.headers["host"] for seen in hub.seen} == {"hub.invalid"}
        status, word = await run_resolver(tmp_path, "hf://org/model", environ={**environ, "no_proxy": "hub.invalid"})
        assert (status, word["reason"]) == (1, "SourceUnreachable")
        assert "hub.invalid: DNS has no such name" in word["message"]
