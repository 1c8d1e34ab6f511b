"""Signed with a key, pushed to a real registry, and pulled by whoever demands it: by loader and resolver as pods do."""

import json
from pathlib import Path

import pytest
from fetch_process import run_resolver, start_loader
from gguf_builders import llama_gguf
from oci_artifacts import MadeArtifact, make_artifact
from registry import RunningRegistry
from signatures import (
    a_certificate,
    a_key,
    an_authority,
    by_authority,
    by_key,
    fingerprint,
    pem_of,
    private_pem,
    public_pem,
)

from berth_store.digest import digest_of, hex_of
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.push import push
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.signing.demand import Demand
from berth_store.signing.judge import Judge
from berth_store.signing.sign import Signer, load_signer, sign_artifact

pytestmark = pytest.mark.needs("registry")
FILES = {"model.gguf": llama_gguf(), "LICENSE": b"MIT"}
KEY = a_key()
BY_KEY = f"--signed-by-key={public_pem(KEY)}"
SIGNED_BY = f"the key sha256:{fingerprint(KEY)}"


def filled(folder: Path, reference: Reference, artifact: MadeArtifact) -> Store:
    store = Store(folder)
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(reference, artifact.digest)
    return store


async def push_signed(
    tmp_path: Path, running: RunningRegistry, *signers: Signer, files: dict[str, bytes] = FILES
) -> tuple[Reference, MadeArtifact]:
    reference, artifact = running.reference("team/model:1"), make_artifact(files)
    store = filled(tmp_path / "origin", reference, artifact)
    for signer in signers:
        sign_artifact(store, reference, signer)
    await push(store, reference, registries=RegistryConfig())
    return reference, artifact


async def pulled(folder: Path, reference: Reference, demand: Demand) -> str:
    """Who has signed what was pulled."""
    store = Store(folder)
    digest = await pull(store, reference, registries=RegistryConfig(), demand=demand)
    return Judge(demand).signer_of(store, reference, digest)


async def test_signed_pushed_and_loaded(tmp_path: Path, real_registry: RunningRegistry) -> None:
    reference, artifact = await push_signed(tmp_path, real_registry, load_signer(private_pem(KEY), None))
    status, word = await run_resolver(tmp_path, f"oci://{reference}", BY_KEY)
    assert (status, word["artifact"]["signer"]) == (0, SIGNED_BY)
    (tmp_path / "key.pem").write_text(public_pem(KEY))
    mounted = f"--signed-by-key={tmp_path / 'key.pem'}"
    async with start_loader(tmp_path, f"oci://{reference}", mounted, "--digest", artifact.digest) as loader:
        assert await loader.ended() == 0
        assert (loader.model / "model.gguf").read_bytes() == FILES["model.gguf"]


async def test_a_signer_with_a_certificate(tmp_path: Path, real_registry: RunningRegistry) -> None:
    between = a_certificate("Between", a_key(91), "Model Root", a_key(90), authority=True)
    own = a_certificate("release@example.com", KEY, "Between", a_key(91))
    signer = load_signer(private_pem(KEY, b"open"), pem_of(own, between).encode(), passphrase=b"open")
    reference, _ = await push_signed(tmp_path, real_registry, signer)
    signed_by = await pulled(tmp_path / "store", reference, by_authority(an_authority()))
    assert signed_by == "the certificate CN=release@example.com, issued by CN=Between"


async def test_several_signatures_stand_side_by_side_and_none_twice(
    tmp_path: Path, real_registry: RunningRegistry
) -> None:
    first, second = load_signer(private_pem(KEY), None), load_signer(private_pem(a_key(2)), None)
    reference, artifact = await push_signed(tmp_path, real_registry, first, second, first)
    await push_signed(tmp_path, real_registry, first)
    tagged = Reference(reference.host, reference.repository, reference.port, tag=artifact.digest.replace(":", "-"))
    listed = json.loads((await _manifest(real_registry, tagged)).decode())
    assert len(listed["manifests"]) == 2
    for key in (KEY, a_key(2)):
        assert await pulled(tmp_path / "store", reference, by_key(key)) == f"the key sha256:{fingerprint(key)}"


async def test_a_mirror_gets_the_signatures_too(tmp_path: Path, real_registry: RunningRegistry) -> None:
    reference, artifact = await push_signed(tmp_path, real_registry, load_signer(private_pem(KEY), None))
    await pulled(tmp_path / "between", reference, by_key(KEY))
    mirror, store = real_registry.reference("mirror/model:2"), Store(tmp_path / "between")
    store.tag(mirror, artifact.digest)
    await push(store, mirror, registries=RegistryConfig())
    assert await pulled(tmp_path / "last", mirror, by_key(KEY)) == SIGNED_BY


async def test_a_layer_that_was_exchanged_under_the_same_tag(tmp_path: Path, real_registry: RunningRegistry) -> None:
    """Who may write to the registry may also move a signature to what he has pushed."""
    reference, _ = await push_signed(tmp_path, real_registry, load_signer(private_pem(KEY), None))
    exchanged = make_artifact(FILES | {"LICENSE": b"none"})
    store = filled(tmp_path / "evil", reference, exchanged)
    origin = Store(tmp_path / "origin")
    (signature,) = next(origin.signatures.iterdir()).iterdir()
    (store.signatures / hex_of(exchanged.digest)).mkdir()
    (store.signatures / hex_of(exchanged.digest) / "moved").write_bytes(signature.read_bytes())
    await push(store, reference, registries=RegistryConfig())
    status, said = await run_resolver(tmp_path, f"oci://{reference}", BY_KEY)
    assert (status, said["reason"]) == (1, "SignatureInvalid")
    assert "the file 'LICENSE' is not what was signed" in said["message"]
    assert digest_of(b"none") in said["message"]
    async with start_loader(tmp_path, f"oci://{reference}", "--patience", "0", BY_KEY) as loader:
        assert await loader.ended() == 1
        assert loader.last_word()["reason"] == said["reason"]
        assert not loader.model.exists()
        store = Store(loader.volume / "store")
        assert not store.list()
        assert not [*store.views.glob("*")]


async def _manifest(running: RunningRegistry, reference: Reference) -> bytes:
    from berth_store.registry import Registry
    from berth_store.transport import Transport

    config = RegistryConfig()
    async with Transport(config) as transport:
        return (await Registry(transport, config, reference).fetch_manifest(reference)).content
