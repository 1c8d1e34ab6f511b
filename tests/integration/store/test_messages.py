"""What people are told when a registry can't be reached: each cause has words of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import registry
import trustme
from oci_artifacts import make_artifact, random_bytes
from registry import Certificate, RunningRegistry, running_registry

from berth_api.errors import InvalidSpec
from berth_store.errors import SourceNotFound, SourceUnreachable
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.push import push
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy

QUICK = RegistryConfig(
    retry=RetryPolicy(attempts=2, first_delay_seconds=0.01), connect_timeout_seconds=2, stall_timeout_seconds=1
)
ARTIFACT = make_artifact({"model.gguf": random_bytes(200_000, seed=6)})


async def told(store: Store, reference: Reference, config: RegistryConfig = QUICK) -> str:
    with pytest.raises(SourceUnreachable) as failed:
        await asyncio.wait_for(pull(store, reference, registries=config), 30)
    return str(failed.value)


async def test_a_name_that_dns_does_not_know(store: Store) -> None:
    message = await told(store, Reference.parse("registry.invalid/a/model:1"))
    assert message.startswith("registry.invalid: DNS has no such name; check the spelling")


async def test_nobody_listens(store: Store) -> None:
    port = registry.free_port()
    message = await told(store, Reference.parse(f"127.0.0.1:{port}/a/model:1"))
    assert f"127.0.0.1:{port}: no connection (" in message
    assert "check the address, and that the registry is running" in message


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncIterator[int]:
    """A server on the port that is yielded: it says `answer` to the first byte, or nothing at all."""
    writers = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if answer is not None and await reader.read(1):
            writer.write(answer)
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.transport.abort()


async def test_somebody_listens_and_never_answers(store: Store) -> None:
    async with listening(None) as port:
        message = await told(store, Reference.parse(f"127.0.0.1:{port}/a/model:1"))
    assert "no answer in time" in message


async def test_an_answer_that_is_no_http(store: Store) -> None:
    async with listening(b"220 smtp here\r\n") as port:
        message = await told(store, Reference.parse(f"127.0.0.1:{port}/a/model:1"))
    assert message.startswith(f"127.0.0.1:{port}: ")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_registry(tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningRegistry]:
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(chain)
    leaf.private_key_pem.write_to_path(key)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with running_registry(tmp_path / "registry", certificate=Certificate(chain, key)) as running:
        yield running


@pytest.mark.needs("registry")
async def test_a_certificate_that_nobody_here_trusts(store: Store, tls_registry: RunningRegistry) -> None:
    message = await told(store, tls_registry.reference("a/model:1"))
    assert "its TLS certificate is not trusted" in message
    assert "BERTH_CA_BUNDLE" in message


@pytest.mark.needs("registry")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "BERTH_CA_BUNDLE"])
async def test_a_private_authority_is_trusted_by_its_bundle(
    store: Store,
    tls_registry: RunningRegistry,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv(variable, str(bundle))
    reference = tls_registry.reference("a/model:1")
    origin = Store(tmp_path / "origin")
    with origin.using():
        for blob in (*ARTIFACT.blobs.values(), ARTIFACT.manifest):
            origin.write_blob(blob)
        origin.tag(reference, ARTIFACT.digest)
    await push(origin, reference, registries=QUICK)
    assert await pull(store, reference, registries=QUICK) == ARTIFACT.digest


async def test_a_bundle_that_is_not_there_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/bundle.pem")
    with pytest.raises(InvalidSpec, match="SSL_CERT_FILE"):
        await pull(store, Reference.parse("127.0.0.1:1/a/model:1"), registries=QUICK)


@pytest.mark.needs("registry")
@pytest.mark.parametrize("name", ["a/none:1", "a/none@sha256:" + "0" * 64])
async def test_what_a_real_registry_does_not_have(store: Store, real_registry: RunningRegistry, name: str) -> None:
    with pytest.raises(SourceNotFound, match=r"MANIFEST_UNKNOWN.*check the name and the tag"):
        await pull(store, real_registry.reference(name), registries=QUICK)
