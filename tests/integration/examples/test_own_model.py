"""The section "Your own model" of examples/README.md: its commands run, its manifest names what they make."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tools
from examples.quickstart.weights import find_minilm, find_smollm2

from berth_api.model import Model
from berth_cli.manifests.read import read_manifests
from berth_cli.manifests.source import Source, read_source
from berth_store.local import Store
from berth_store.reference import Reference

pytestmark = [pytest.mark.needs("smollm2", "minilm"), pytest.mark.timeout(180)]

SECTION = (
    (tools.REPOSITORY / "examples" / "README.md").read_text().partition("## Your own model")[2].partition("\n## ")[0]
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)


def run(command: str, folder: Path) -> None:
    """Runs a line of the section in `folder`, with this interpreter in place of the one in .venv."""
    program, *arguments = command.split()
    start = [sys.executable, "-m", "berth_cli"] if program == ".venv/bin/berth" else [sys.executable]
    env = {**os.environ, "BERTH_HOME": str(folder / "home"), "PYTHONPATH": str(tools.REPOSITORY)}
    ended = subprocess.run(
        [*start, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_its_commands_make_what_its_manifest_names(tmp_path: Path) -> None:
    shutil.copyfile(find_smollm2().path, tmp_path / "my-model.gguf")
    shutil.copytree(find_minilm().path, tmp_path / "my-encoder")
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 3
    for command in commands:
        run(command, tmp_path)
    store = Store(tmp_path / "home" / "store")
    assert {str(one.reference) for one in store.list()} == {"localhost/mine:1", "localhost/my-encoder:1"}
    (text,) = blocks("yaml")
    (manifest,) = read_manifests(read_source(Source(name="stdin", text=text))).manifests
    assert isinstance(manifest.object, Model)
    assert store.resolve(Reference.parse(manifest.object.spec.source.uri))
