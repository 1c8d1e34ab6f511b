"""Loaders and engines as the processes of several pods, on one claim: one fetch, and no engine loses its model."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from fetch_process import start_loader
from oci_artifacts import make_artifact, random_bytes
from pushed import push_artifact
from registry import RunningRegistry
from runtime_server import start_runtime
from tiny_encoders import CONFIGS, write_sentence_modules, write_tiny_encoder, write_tiny_tokenizer
from wire import Wire

from berth_store import locks
from berth_store.convert.encoder import convert_encoder
from berth_store.digest import Digest
from berth_store.evict import SPARED_SECONDS, Wish, evict, link_name
from berth_store.holds import hold_path
from berth_store.local import Store

pytestmark = pytest.mark.needs("registry")
SIZE = 16 * 1024 * 1024
OWN = Digest("sha256:" + "0" * 64)


def encoder_files(folder: Path) -> dict[str, bytes]:
    source = write_tiny_encoder(folder / "source", CONFIGS["bert"])
    write_tiny_tokenizer(source)
    write_sentence_modules(source)
    converted = convert_encoder(source, folder / "converted").parent
    return {str(path.relative_to(converted)): path.read_bytes() for path in converted.rglob("*") if path.is_file()}


async def test_two_loaders_at_once_fetch_the_artifact_once(tmp_path: Path, real_registry: RunningRegistry) -> None:
    artifact = make_artifact({"model.gguf": random_bytes(SIZE, seed=5)})
    await push_artifact(real_registry, "team/big:1", artifact, tmp_path / "origin")
    async with Wire(real_registry.port, bytes_per_second=24 * 1024 * 1024) as wire:
        asked = (tmp_path, f"oci://{wire.address}/team/big:1", "--digest", artifact.digest, "--shared-by")
        async with start_loader(*asked, "one") as one, start_loader(*asked, "two") as two:
            assert await asyncio.gather(one.ended(), two.ended()) == [0, 0]
        assert wire.downloaded_bytes < 3 * SIZE // 2
    assert (tmp_path / "models" / link_name(artifact.digest) / "model.gguf").stat().st_size == SIZE


async def test_a_quota_that_is_reached_is_told_before_a_byte_is_fetched(
    tmp_path: Path, real_registry: RunningRegistry
) -> None:
    artifact = make_artifact({"model.gguf": random_bytes(100_000, seed=7)})
    source = await push_artifact(real_registry, "team/small:1", artifact, tmp_path / "origin")
    asked = (tmp_path, source, "--digest", artifact.digest, "--shared-by", "one", "--quota")
    async with start_loader(*asked, "60000") as loader:
        assert await loader.ended() == 1
        word = loader.last_word()
    assert word["reason"] == "CacheQuotaExceeded"
    assert "and the quota is 60,000; this model alone has more than that; raise spec.cache.quota" in word["message"]
    assert list((tmp_path / "models/store/blobs/sha256").iterdir()) == []
    async with start_loader(*asked, "200000") as loader:
        assert await loader.ended() == 0


async def test_a_killed_loader_holds_nothing(tmp_path: Path, real_registry: RunningRegistry) -> None:
    artifact = make_artifact({"model.gguf": random_bytes(SIZE, seed=6)})
    await push_artifact(real_registry, "team/big:1", artifact, tmp_path / "origin")
    hold = hold_path(tmp_path / "models/store", artifact.digest, "one")
    async with Wire(real_registry.port, bytes_per_second=4 * 1024 * 1024) as wire:
        asked = (tmp_path, f"oci://{wire.address}/team/big:1", "--digest", artifact.digest, "--shared-by")
        async with start_loader(*asked, "one") as loader:
            await loader.wait_for(stage="Fetching")
            assert not is_free(hold)
            await loader.ended(signal.SIGKILL)
    assert is_free(hold)


async def test_an_engine_keeps_its_model_until_it_is_killed(tmp_path: Path, real_registry: RunningRegistry) -> None:
    artifact = make_artifact(encoder_files(tmp_path / "encoder"))
    source = await push_artifact(real_registry, "team/encoder:1", artifact, tmp_path / "origin")
    async with start_loader(tmp_path, source, "--digest", artifact.digest, "--shared-by", "one") as loader:
        assert await loader.ended() == 0
    claim, store = loader.volume, Store(loader.volume / "store")
    model, hold = claim / link_name(artifact.digest), hold_path(store.root, artifact.digest, "one")
    age(hold)
    async with start_runtime("--model", f"one={model}", "--hold", str(hold)) as runtime:
        await runtime.wait_for_states({"one": "Ready"})
        assert evict(store, Wish(1, OWN, into=claim)).held_by == ("one",)
        assert (await runtime.status())["one"]["state"] == "Ready"
        await runtime.end(signal.SIGKILL)
    age(hold)
    assert evict(store, Wish(1, OWN, into=claim)).pins == (artifact.digest,)
    assert not model.exists()


async def test_an_engine_without_its_model_ends_with_what_to_do(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_runtime", "--model", f"one={tmp_path}", "--port", "0"),
        *("--hold", str(tmp_path / "gone")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"Delete this pod: the one that takes its place fetches the model again" in said


def is_free(hold: Path) -> bool:
    with locks.exclusive_if_free(hold) as free:
        return free


def age(hold: Path) -> None:
    moment = hold.stat().st_mtime - 2 * SPARED_SECONDS
    os.utime(hold, (moment, moment))
