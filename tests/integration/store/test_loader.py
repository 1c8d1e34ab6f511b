"""The init container of a Model's pod, against a real registry: killed, resumed, watched, failing for each reason."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from fetch_process import start_loader
from gguf_builders import llama_gguf
from oci_artifacts import make_artifact, random_bytes
from pushed import push_artifact, push_files
from registry import PASSWORD, USER, RunningRegistry, free_port, running_registry
from wire import Wire

from berth_api.artifact import Task
from berth_store.detect import detect_bounded
from berth_store.digest import hex_of
from berth_store.registries import RegistryConfig

pytestmark = pytest.mark.needs("registry")
MIB = 1024 * 1024
SIZE = 64 * MIB
# What stays on the way of a killed transfer: a stretch on each connection, and what the sockets of the relay hold.
LOST_BYTES = 16 * MIB


async def test_killed_and_started_again_it_goes_on_where_it_was(tmp_path: Path, real_registry: RunningRegistry) -> None:
    artifact = make_artifact({"model.gguf": random_bytes(SIZE, seed=1)})
    await push_artifact(real_registry, "team/big:1", artifact, tmp_path / "origin")
    async with Wire(real_registry.port, bytes_per_second=24 * MIB) as wire:
        source = f"oci://{wire.address}/team/big:1"
        async with start_loader(tmp_path, source) as first:
            await first.wait_for(bytesDone=lambda done: done > SIZE // 2)
            assert await first.ended(signal.SIGKILL) == -signal.SIGKILL
        assert not (tmp_path / "models/model").exists()
        before_bytes = wire.downloaded_bytes
        async with start_loader(tmp_path, source) as second:
            assert await second.ended() == 0
        assert wire.downloaded_bytes - before_bytes < SIZE // 2 + LOST_BYTES
    assert (second.model / "model.gguf").stat().st_size == SIZE
    assert second.model.readlink() == Path("store/views") / hex_of(artifact.digest)


async def test_progress_rises_to_the_end_and_tells_rate_and_time_left(
    tmp_path: Path, real_registry: RunningRegistry
) -> None:
    await push_files(real_registry, "team/big:1", {"model.gguf": random_bytes(SIZE, seed=2)}, tmp_path / "origin")
    async with (
        Wire(real_registry.port, bytes_per_second=24 * MIB) as wire,
        start_loader(tmp_path, f"oci://{wire.address}/team/big:1") as loader,
    ):
        moments = await loader.moments()
        assert await loader.ended() == 0
    done = [moment["bytesDone"] for moment in moments]
    assert done == sorted(done)
    fetching = [moment for moment in moments if moment["stage"] == "Fetching"]
    assert len(fetching) > 10
    assert {moment["bytesTotal"] for moment in fetching} == {fetching[-1]["bytesTotal"]}
    timed = [moment for moment in fetching if moment["secondsLeft"] is not None]
    assert timed
    assert all(0 < moment["bytesPerSecond"] < 80 * MIB for moment in timed)


async def test_a_model_that_was_loaded_is_served_again_without_the_registry(tmp_path: Path) -> None:
    artifact = make_artifact({"model.gguf": llama_gguf()})
    with running_registry(tmp_path / "registry") as running:
        source = await push_artifact(running, "team/model:1", artifact, tmp_path / "origin")
        async with start_loader(tmp_path, source) as first:
            assert await first.ended() == 0
    async with start_loader(tmp_path, source, "--digest", artifact.digest) as second:
        assert await second.ended() == 0
        assert detect_bounded(second.model).task is Task.CHAT


async def test_the_end_is_told_at_once(tmp_path: Path, real_registry: RunningRegistry) -> None:
    await push_files(real_registry, "team/big:1", {"model.gguf": random_bytes(SIZE, seed=3)}, tmp_path / "origin")
    async with (
        Wire(real_registry.port, bytes_per_second=MIB) as wire,
        start_loader(tmp_path, f"oci://{wire.address}/team/big:1") as loader,
    ):
        await loader.wait_for(stage="Fetching")
        assert await loader.ended(signal.SIGTERM) == 128 + signal.SIGTERM
    assert loader.log.read_bytes() == b"", "nothing has failed"


async def ending(folder: Path, source: str, *options: str, **environ: str) -> dict[str, Any]:
    """How a loader that has to fail ended."""
    async with start_loader(folder, source, "--patience", "0", *options, environ=environ) as loader:
        assert await loader.ended() == 1
        assert not loader.model.exists()
        return loader.last_word()


async def test_an_unknown_tag(tmp_path: Path, real_registry: RunningRegistry) -> None:
    word = await ending(tmp_path, f"oci://{real_registry.address}/team/none:1")
    assert word["reason"] == "SourceNotFound"
    assert "has no such artifact" in word["message"]


async def test_a_registry_that_wants_a_login(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        word = await ending(tmp_path, f"oci://{running.address}/team/model:1")
    assert word["reason"] == "SourceUnauthorized"
    assert "no credentials were found" in word["message"]


async def test_the_login_of_a_mounted_secret_lets_in(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        (secret / "config.json").write_text(
            json.dumps({"auths": {running.address: {"username": USER, "password": PASSWORD}}})
        )
        config = RegistryConfig(docker_config=secret / "config.json")
        artifact = make_artifact({"model.gguf": llama_gguf()})
        source = await push_artifact(running, "team/model:1", artifact, tmp_path / "origin", config)
        async with start_loader(tmp_path, source, environ={"DOCKER_CONFIG": str(secret)}) as loader:
            assert await loader.ended() == 0


async def test_a_name_that_dns_does_not_know(tmp_path: Path) -> None:
    word = await ending(tmp_path, "oci://registry.invalid/team/model:1")
    assert word["reason"] == "SourceUnreachable"
    assert "DNS has no such name" in word["message"]


async def test_a_registry_that_is_down_is_told_while_it_is_tried_again(tmp_path: Path) -> None:
    port = free_port()
    async with start_loader(tmp_path, f"oci://127.0.0.1:{port}/team/model:1") as loader:
        moment = await loader.wait_for(message=lambda text: "Tried again in" in text)
        assert moment["stage"] == "Resolving"
        assert "no connection" in moment["message"]
        assert loader.process.returncode is None


async def test_an_artifact_that_is_no_model(tmp_path: Path, real_registry: RunningRegistry) -> None:
    image = make_artifact({"layer": b"x"}, config_type="application/vnd.oci.image.config.v1+json")
    source = await push_artifact(real_registry, "team/image:1", image, tmp_path / "origin")
    word = await ending(tmp_path, source)
    assert word["reason"] == "NoModelInSource"


async def test_bytes_that_are_not_what_their_digest_says(tmp_path: Path, real_registry: RunningRegistry) -> None:
    artifact = make_artifact({"model.gguf": random_bytes(MIB, seed=4)})
    source = await push_artifact(real_registry, "team/model:1", artifact, tmp_path / "origin")
    weights = max(artifact.blobs, key=lambda digest: len(artifact.blobs[digest]))
    digits = hex_of(weights)
    stored = real_registry.root / "docker/registry/v2/blobs/sha256" / digits[:2] / digits / "data"
    stored.write_bytes(random_bytes(MIB, seed=5))
    word = await ending(tmp_path, source)
    assert word["reason"] == "DigestMismatch"


async def test_a_volume_that_is_not_what_it_has_to_be(tmp_path: Path, real_registry: RunningRegistry) -> None:
    source = await push_files(real_registry, "team/model:1", {"model.gguf": llama_gguf()}, tmp_path / "origin")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/store").write_text("a file where a folder has to be")
    word = await ending(tmp_path, source)
    assert word["reason"] == "StoreUnusable"


async def test_a_source_of_another_kind(tmp_path: Path) -> None:
    word = await ending(tmp_path, "gs://bucket/model")
    assert word["reason"] == "InvalidSpec"
    assert "nothing is fetched from gs://" in word["message"]
