"""A Python with PyTorch and transformers, in which Berth's code is not installed: that of `make nightly`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tools


class Compared(NamedTuple):
    """What `compare.py` says of each architecture and task, and the folder in which it has left the models."""

    report: Mapping[tuple[str, str], Mapping[str, Any]]
    folder: Path


def python() -> Path:
    """Its interpreter."""
    found = tools.find("torch")
    assert found is not None
    return found


def environment(home: Path) -> Mapping[str, str]:
    """What its processes are started with: Berth's code and these helpers are found, what is cached stays in `home`."""
    rooms = ("api", "store", "runtime", "tests/support")
    path = os.pathsep.join(str(tools.REPOSITORY / room) for room in rooms)
    return {**os.environ, "PYTHONPATH": path, "HOME": str(home), "HF_HOME": str(home / "huggingface")}
