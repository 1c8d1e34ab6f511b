"""Every hostile artifact of `tests/support/hostile` by the real ways: pulled, viewed and detected, and resolved.

Each is refused in a sentence that names what is at fault, or is harmless and served as what it is; nothing is written
outside the store and the scratch folder, nothing of it is run, within 10 s and 128 MiB.
"""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hostile
import pytest
from hostile.case import Hostile
from lying_registry import LyingRegistry
from pulls import QUICK

from berth_api.artifact import Format
from berth_api.errors import BerthError
from berth_store.detect import DetectedModel, detect
from berth_store.detect.paged import AsyncSupply
from berth_store.digest import digest_of
from berth_store.headers import reads
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.ranges import Range
from berth_store.reference import Reference
from berth_store.resolver import resolve as resolving
from berth_store.resolver.resolve import resolve
from berth_store.retry import RetryPolicy
from berth_store.sweep import sweep

pytestmark = pytest.mark.timeout(180)
AT_MOST_SECONDS = 10.0
MOST_RSS_BYTES = 128 << 20
CONFIG = replace(QUICK, stall_timeout_seconds=5, retry=RetryPolicy(attempts=2, first_delay_seconds=0.001))
MEASURE = Path(__file__).parents[2] / "support" / "hostile_child.py"
# Through the processes that do it in earnest, and measured there.
MEASURED = {
    "bombs": (
        "gzip of 1000 to 1, declared",
        "gzip beside the model of an image",
        "zstd of 1000 to 1 in small files",
        "zstd of 250,000 folders",
        "200,000 members of gzip",
        "a large window",
        "more files than are looked at",
        "more entries than any system has",
        "a zip of 1000 to 1",
    ),
    "settings": ("config.json is 100 megabytes", "config.json is two million values", "config.json is open quotes"),
    "gguf": ("GGUF: 1000000000 tensors", "GGUF: an array of 1000000000 texts", "GGUF: a template of two megabytes"),
    "safetensors": ("safetensors: a header of 104857600 bytes", "an index that is of 10^6 tensors"),
    "onnx": ("ONNX: graphs in graphs in graphs", "ONNX: a tensor of 1000000000 weights"),
    "tflite": ("TFLite: 10^9 tensors", "TFLite: labels of six megabytes"),
    "manifests": ("nested 100,000 deep", "a manifest of five megabytes", "numbers of a million digits"),
    "pickles": ("auto_map with a known class",),
    "templates": ("template: globals of a global",),
}


@dataclass
class Sandbox:
    """A tree with everything that a case may touch, deep enough for names that lead up."""

    root: Path

    def __post_init__(self) -> None:
        self.canary = self.root / "canary"
        self.place = self.root / "a/b/c/d/e/f"
        self.store = Store(self.place / "store")
        self.scratch = self.place / "scratch"
        self.place.mkdir(parents=True)
        (self.root / "secret").write_bytes(b"secret")
        self._before = self._seen()

    def begin(self) -> None:
        for folder in (self.store.root, self.scratch):
            shutil.rmtree(folder, ignore_errors=True)
        self.scratch.mkdir()

    def assert_untouched(self) -> None:
        """Nothing outside the store and the scratch folder, no link out of them, no remains in them."""
        assert self._seen() == self._before
        assert not self.canary.exists()
        for folder in (self.store.root, self.scratch):
            for path in folder.rglob("*"):
                assert path.is_file() or path.is_dir(), f"{path} is no file"
                assert path.resolve().is_relative_to(folder), f"{path} leads out"
        assert list(self.store.ingest.glob("tmp-*")) == []

    def _seen(self) -> dict[str, bytes]:
        inside = (self.store.root, self.scratch)
        return {
            str(path): path.read_bytes() if path.is_file() else b""
            for path in self.root.rglob("*")
            if not any(path.is_relative_to(each) for each in inside)
        }


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    made = Sandbox(tmp_path / "sandbox")
    monkeypatch.chdir(made.place)
    return made


@pytest.fixture
async def registry() -> AsyncIterator[LyingRegistry]:
    async with LyingRegistry() as running:
        yield running


def hold(registry: LyingRegistry, case: Hostile) -> Reference:
    registry.artifacts.clear()
    registry.blobs.clear()
    for beside in case.beside:
        registry.artifacts["team/model", str(digest_of(beside))] = beside
    return registry.hold("team/model", case.artifact)


async def detect_here(path: Path, supply: AsyncSupply, **wish: object) -> DetectedModel:
    """`detect_paged` without its process: as far as the file is concerned, the same."""
    loop = asyncio.get_running_loop()

    def ask(file: Path, start: int, stop: int) -> None:
        asyncio.run_coroutine_threadsafe(supply(file, Range(start, stop)), loop).result()

    reads.read_through(ask)
    try:
        return await asyncio.to_thread(detect, path, **wish)  # type: ignore[arg-type]
    finally:
        reads._source.supply = None


async def by_pull(sandbox: Sandbox, reference: Reference) -> Format | str:
    try:
        digest = await pull(sandbox.store, reference, registries=CONFIG)
        return detect(sandbox.store.view(digest)).format
    except BerthError as error:
        return str(error)


async def by_resolver(sandbox: Sandbox, reference: Reference) -> Format | str:
    try:
        return (await resolve(reference, registries=CONFIG, scratch=sandbox.scratch)).artifact.format
    except BerthError as error:
        return str(error)


def faults(case: Hostile, pulled: Format | str, resolved: Format | str) -> list[str]:
    """What is not as it must be."""
    if case.serves is not None:
        return [f"{case.name}: {found}" for found in (pulled, resolved) if found is not case.serves]
    found = []
    if isinstance(pulled, Format):
        found.append(f"{case.name}: was served as {pulled}")
    elif case.says not in pulled or len(pulled) < 20:
        found.append(f"{case.name}: {pulled!r} does not say {case.says!r}")
    if isinstance(resolved, Format) and not case.may_resolve:
        found.append(f"{case.name}: was resolved as {resolved}")
    elif isinstance(resolved, str) and case.says not in resolved and not case.may_resolve:
        found.append(f"{case.name}: the resolver's {resolved!r} does not say {case.says!r}")
    return found


@pytest.mark.parametrize("kind", hostile.ALL)
async def test_what_means_harm_is_refused_by_name_and_touches_nothing(
    registry: LyingRegistry, sandbox: Sandbox, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "detect_paged", detect_here)
    wrong: list[str] = []
    count, slowest = 0, (0.0, "")
    for case in hostile.ALL[kind](sandbox.canary):
        if case.name in MEASURED.get(kind, ()):
            continue
        sandbox.begin()
        reference = hold(registry, case)
        # Of the processor, for the machine may have other things to do.
        started = time.process_time()
        pulled = await by_pull(sandbox, reference)
        between = time.process_time()
        resolved = await by_resolver(sandbox, reference)
        took = max(between - started, time.process_time() - between)
        sandbox.assert_untouched()
        wrong += faults(case, pulled, resolved)
        if took > AT_MOST_SECONDS:
            wrong.append(f"{case.name}: took {took:.1f} s")
        slowest = max(slowest, (took, case.name))
        if case.serves is None and kind in {"names", "archives", "bombs", "manifests"}:
            sweep(sandbox.store)
        count += 1
    assert not wrong, "\n".join(wrong)
    print(f"{kind}: {count} cases, the slowest took {slowest[0]:.2f} s ({slowest[1]})")


def test_there_are_enough_of_them_and_each_has_its_own_name(tmp_path: Path) -> None:
    names = [case.name for kind in hostile.ALL if kind != "bombs" for case in hostile.ALL[kind](tmp_path / "canary")]
    assert len(names) >= 250
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", MEASURED)
async def test_none_takes_more_memory_than_a_small_pod_has(
    registry: LyingRegistry, sandbox: Sandbox, kind: str
) -> None:
    chosen = MEASURED[kind]
    wrong, largest = [], 0
    seen = set()
    for case in hostile.ALL[kind](sandbox.canary):
        if case.name not in chosen:
            continue
        seen.add(case.name)
        sandbox.begin()
        told = await measured(sandbox, hold(registry, case))
        sandbox.assert_untouched()
        wrong += faults(case, _outcome(told["pulled"]), _outcome(told["resolved"]))
        largest = max(largest, told["rss"], told["child_rss"])
        if largest > MOST_RSS_BYTES or told["seconds"] > 2 * AT_MOST_SECONDS:
            wrong.append(f"{case.name}: {told}")
    assert not wrong, "\n".join(wrong)
    assert seen == set(chosen)
    print(f"{kind}: at most {largest >> 20} MiB")


def _outcome(said: str) -> Format | str:
    return Format(said) if said in list(Format) else said


async def measured(sandbox: Sandbox, reference: Reference) -> Mapping[str, Any]:
    """A pull and a resolution in a process of its own, with detection in its children, and what they took."""
    command = [sys.executable, str(MEASURE), str(sandbox.store.root), str(sandbox.scratch), str(reference)]
    environment = {**os.environ, "BERTH_HOME": str(sandbox.place / "store")}
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    async with asyncio.timeout(120):
        out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    told = json.loads(out)
    assert isinstance(told, dict)
    return told
