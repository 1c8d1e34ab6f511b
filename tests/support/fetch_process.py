"""Loader and resolver as the processes that pods run: `python -m berth_store.loader` and `…resolver`.

async with start_loader(tmp_path, source) as loader:
    await loader.progress()
    status = await loader.ended()
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from registry import free_port

DEADLINE_SECONDS = 60.0


@dataclass
class Loader:
    """A running loader, its volume and the address of its progress."""

    process: asyncio.subprocess.Process
    volume: Path
    address: str
    log: Path

    @property
    def model(self) -> Path:
        """Where the model will lie."""
        return self.volume / "model"

    async def progress(self) -> dict[str, Any] | None:
        """The body of `/progress`; None while nothing answers."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.address}/progress") as response:
                body: dict[str, Any] = await response.json()
                return body
        except aiohttp.ClientError:
            return None

    async def moments(self) -> list[dict[str, Any]]:
        """Every answer of `/progress` until the process ends."""
        seen: list[dict[str, Any]] = []
        while self.process.returncode is None:
            moment = await self.progress()
            if moment is not None and moment not in seen[-1:]:
                seen.append(moment)
            await asyncio.sleep(0.01)
        return seen

    async def wait_for(self, **wanted: Any) -> dict[str, Any]:
        """Poll until `/progress` says all of this; a function as value decides by itself."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                moment = await self.progress()
                if moment is not None and all(_fits(moment[name], value) for name, value in wanted.items()):
                    return moment
                await asyncio.sleep(0.01)

    async def ended(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if any, and wait for the exit status."""
        if number is not None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), DEADLINE_SECONDS)

    def last_word(self) -> dict[str, Any]:
        """The termination message."""
        return read_last_word(self.log)


@asynccontextmanager
async def start_loader(
    folder: Path, source: str, *options: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Loader]:
    """Start a loader with its volume in `folder`, as the operator does; it is killed in the end if it still lives."""
    volume, log, port = folder / "models", folder / "termination-log", free_port()
    volume.mkdir(exist_ok=True)
    log.touch()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_store.loader", "--source", source, "--into", str(volume)),
        *("--progress-port", str(port), "--termination-log", str(log), *options),
        env=_environment(folder, environ),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Loader(process, volume, f"http://127.0.0.1:{port}", log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run_resolver(
    folder: Path, source: str, *options: str, environ: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Run a resolver with its scratch space in `folder`; its exit status and termination message."""
    scratch, log = folder / "scratch", folder / "termination-log"
    scratch.mkdir(exist_ok=True)
    log.touch()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_store.resolver", "--source", source),
        *("--scratch", str(scratch), "--termination-log", str(log), *options),
        env=_environment(folder, environ),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
    assert process.returncode is not None
    assert json.loads(said) == read_last_word(log)
    assert list(scratch.iterdir()) == [], "scratch space is left empty"
    return process.returncode, read_last_word(log)


def read_last_word(log: Path) -> dict[str, Any]:
    """The JSON object that a container left as its termination message."""
    said: dict[str, Any] = json.loads(log.read_bytes())
    return said


def _environment(folder: Path, more: Mapping[str, str] | None) -> dict[str, str]:
    """A pod's: nobody's credentials, a HOME that holds nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    kept.pop("DOCKER_CONFIG", None)
    return {**kept, "HOME": str(folder), **(more or {})}


def _fits(value: Any, wanted: Any) -> bool:
    return bool(wanted(value)) if callable(wanted) else bool(value == wanted)
