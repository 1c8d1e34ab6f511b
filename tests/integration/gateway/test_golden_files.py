"""Every golden file is a configuration that Envoy itself accepts."""

import asyncio
import json
from pathlib import Path

import pytest
from golden_cases import CASES, GOLDEN, static_bootstrap

from berth_gateway.envoy import find_envoy

pytestmark = pytest.mark.needs("envoy")


@pytest.mark.parametrize("case", CASES)
async def test_envoy_accepts_the_golden_file(case: str, tmp_path: Path) -> None:
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(static_bootstrap(json.loads((GOLDEN / f"{case}.json").read_text()))))
    command = (str(find_envoy()), "--mode", "validate", "--config-path", str(path), "--log-level", "error")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
