"""Tiny models of every architecture, made and asked once, beside transformers itself."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch_python
from torch_python import Compared


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    folder = tmp_path_factory.mktemp("checkpoints")
    done = subprocess.run(
        [torch_python.python(), Path(__file__).with_name("compare.py"), folder],
        capture_output=True,
        text=True,
        check=False,
        env=torch_python.environment(tmp_path_factory.mktemp("home")),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines: list[dict[str, Any]] = json.loads(done.stdout)
    return Compared({(line["architecture"], line["task"]): line for line in lines}, folder)
