"""A command's time and memory are its own, and one that fails is no measurement."""

import sys
from pathlib import Path

import pytest
from bench.command import run_command
from bench.load import BadAnswer

HOLD = "held = bytearray(b'x') * (%d << 20)"


def test_the_memory_is_the_commands_own(tmp_path: Path) -> None:
    ours = bytearray(b"x") * (200 << 20)
    small = run_command((sys.executable, "-I", "-S", "-c", "pass"), log=tmp_path / "small.log")
    large = run_command((sys.executable, "-I", "-S", "-c", HOLD % 100), log=tmp_path / "large.log")
    assert len(ours) > small["resident_mebibytes"] * (1 << 20)
    assert 90 < large["resident_mebibytes"] - small["resident_mebibytes"] < 110


def test_a_command_that_fails_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(BadAnswer, match="no such weights"):
        run_command((sys.executable, "-c", "raise SystemExit('no such weights')"), log=tmp_path / "log")
