"""The Job that finds out what a source holds, against a real registry: its answer, its thrift, each of its reasons."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import tools
import trustme
from fetch_process import run_resolver
from folder_builders import as_bytes, sentence_files
from gguf_builders import llama_gguf
from oci_artifacts import make_artifact
from onnx_builders import encoder_onnx, onnx_value, onnx_with_outputs
from pushed import push_artifact, push_files
from registry import PASSWORD, USER, Certificate, RunningRegistry, running_registry
from wire import Wire

from berth_api.artifact import Artifact, Format, Task
from berth_store.local import Store
from berth_store.package import package
from berth_store.push import push
from berth_store.registries import RegistryConfig

pytestmark = pytest.mark.needs("registry")
SENTENCE = as_bytes({**sentence_files(), "onnx/model.onnx": encoder_onnx()})


async def resolved(folder: Path, source: str, *options: str, **environ: str) -> dict[str, Any]:
    """The answer of a resolver that finds something."""
    status, word = await run_resolver(folder, source, *options, environ=environ)
    assert status == 0, word
    return word


async def refused(folder: Path, source: str, *options: str, **environ: str) -> dict[str, Any]:
    """The answer of a resolver that finds nothing."""
    status, word = await run_resolver(folder, source, *options, environ=environ)
    assert status == 1, word
    assert set(word) == {"reason", "message"}
    return word


@pytest.mark.needs("smollm2")
async def test_a_real_model_is_known_by_less_than_a_tenth_of_its_bytes(
    tmp_path: Path, real_registry: RunningRegistry
) -> None:
    weights = tools.find("smollm2")
    assert weights is not None
    store, reference = Store(tmp_path / "origin"), real_registry.reference("team/smollm2:1")
    digest = package(store, weights, reference)
    await push(store, reference, registries=RegistryConfig())
    async with Wire(real_registry.port) as wire:
        begun = time.monotonic()
        word = await resolved(tmp_path, f"oci://{wire.address}/team/smollm2:1")
        print(f"{time.monotonic() - begun:.2f} s, {wire.downloaded_bytes:,} of {weights.stat().st_size:,} bytes")
    assert wire.downloaded_bytes < weights.stat().st_size // 10
    found = Artifact.model_validate(word["artifact"])
    assert (found.format, found.task, found.digest) == (Format.GGUF, Task.CHAT, digest)
    assert (found.architecture, found.quantization, found.context_length) == ("llama", "Q4_1", 8192)
    assert found.parameters == 134_515_008
    assert found.size_bytes == store.manifest(digest).size_bytes
    assert word["weights"] == weights.name
    assert word["notes"] == []


async def test_an_encoder_with_its_graph_in_a_folder_below(tmp_path: Path, real_registry: RunningRegistry) -> None:
    source = await push_files(real_registry, "team/encoder:1", SENTENCE, tmp_path / "origin")
    word = await resolved(tmp_path, source)
    assert (word["artifact"]["format"], word["artifact"]["task"]) == ("ONNX", "Embedding")
    assert word["weights"] == "onnx/model.onnx"


async def test_the_task_that_the_user_names(tmp_path: Path, real_registry: RunningRegistry) -> None:
    files = {**as_bytes(sentence_files()), "model.onnx": onnx_with_outputs(onnx_value("logits", ("batch", 2)))}
    source = await push_files(real_registry, "team/open:1", files, tmp_path / "origin")
    word = await resolved(tmp_path, source, "--task", "TextClassification")
    assert word["artifact"]["task"] == "TextClassification"


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        (("--engine", "LlamaCpp"), "model.gguf"),
        (("--engine", "OnnxRuntime"), "onnx/model.onnx"),
        (("--format", "GGUF"), "model.gguf"),
    ],
)
async def test_of_several_formats_the_one_that_is_asked_for(
    tmp_path: Path, real_registry: RunningRegistry, options: tuple[str, ...], weights: str
) -> None:
    source = await push_files(
        real_registry, "team/two:1", {**SENTENCE, "model.gguf": llama_gguf()}, tmp_path / "origin"
    )
    assert (await resolved(tmp_path, source, *options))["weights"] == weights
    word = await refused(tmp_path, source)
    assert word["reason"] == "NoModelInSource"
    assert "models of several formats" in word["message"]


async def test_a_tag_that_leads_elsewhere_than_the_pin(tmp_path: Path, real_registry: RunningRegistry) -> None:
    source = await push_files(real_registry, "team/model:1", {"model.gguf": llama_gguf()}, tmp_path / "origin")
    word = await refused(tmp_path, source, "--digest", "sha256:" + "1" * 64)
    assert word["reason"] == "DigestMismatch"
    assert "sha256:1111" in word["message"]


async def test_an_unknown_tag(tmp_path: Path, real_registry: RunningRegistry) -> None:
    word = await refused(tmp_path, f"oci://{real_registry.address}/team/model:none")
    assert word["reason"] == "SourceNotFound"
    assert f"{real_registry.address}/team/model:none" in word["message"]


async def test_a_registry_that_wants_a_login_and_the_secret_that_has_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        login = {"auths": {running.address: {"username": USER, "password": PASSWORD}}}
        (secret / "config.json").write_text(json.dumps(login))
        config = RegistryConfig(docker_config=secret / "config.json")
        artifact = make_artifact({"model.gguf": llama_gguf()})
        source = await push_artifact(running, "team/model:1", artifact, tmp_path / "origin", config)
        word = await refused(tmp_path, source)
        assert word["reason"] == "SourceUnauthorized"
        assert "no credentials were found" in word["message"]
        word = await refused(tmp_path, source, DOCKER_CONFIG=str(tmp_path / "nowhere"))
        assert word["reason"] == "SourceUnauthorized"
        word = await resolved(tmp_path, source, DOCKER_CONFIG=str(secret))
        assert word["artifact"]["digest"] == artifact.digest


async def test_a_name_that_dns_does_not_know(tmp_path: Path) -> None:
    word = await refused(tmp_path, "oci://registry.invalid/team/model:1")
    assert word["reason"] == "SourceUnreachable"
    assert "registry.invalid: DNS has no such name" in word["message"]


async def test_a_certificate_that_nobody_trusts_and_the_bundle_that_does(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    chain, key, bundle = (tmp_path / name for name in ("chain.pem", "key.pem", "bundle.pem"))
    leaf.cert_chain_pems[0].write_to_path(chain)
    leaf.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(bundle)
    with running_registry(tmp_path / "registry", certificate=Certificate(chain, key)) as running:
        source = f"oci://{running.address}/team/model:1"
        word = await refused(tmp_path, source, SSL_CERT_FILE="")
        assert word["reason"] == "SourceUnreachable"
        assert "its TLS certificate is not trusted" in word["message"]
        word = await refused(tmp_path, source, SSL_CERT_FILE=str(bundle))
        assert word["reason"] == "SourceNotFound", "the connection is trusted now"


async def test_a_file_that_is_damaged_is_named_as_a_file_of_its_artifact(
    tmp_path: Path, real_registry: RunningRegistry
) -> None:
    source = await push_files(real_registry, "team/model:1", {"model.gguf": llama_gguf()[:4000]}, tmp_path / "origin")
    word = await refused(tmp_path, source)
    assert word["reason"] == "NoModelInSource"
    assert word["message"].startswith("model.gguf: the file is cut off or lies")


async def test_a_source_that_hangs_is_given_up(tmp_path: Path, real_registry: RunningRegistry) -> None:
    source = await push_files(real_registry, "team/model:1", {"model.gguf": llama_gguf()}, tmp_path / "origin")
    async with Wire(real_registry.port, bytes_per_second=100) as wire:
        hanging = source.replace(real_registry.address, wire.address)
        word = await refused(tmp_path, hanging, "--timeout", "1")
    assert word["reason"] == "SourceUnreachable"
    assert "did not deliver what is needed within 1 seconds" in word["message"]
