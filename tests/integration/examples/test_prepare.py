"""The quick start's preparation with the real packages: what it makes, and that repeating it makes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tools
from examples.quickstart.prepare import MODELS, prepare

from berth_api.artifact import Format, Task
from berth_store.detect import detect_bounded
from berth_store.local import Store

pytestmark = pytest.mark.needs("smollm2", "minilm")

SMOLLM2, MINILM = (model.reference for model in MODELS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    prepare(home)
    return home


def test_both_models_are_what_the_quick_start_needs(home: Path) -> None:
    store = Store(home / "store")
    kinds = {}
    for reference in (SMOLLM2, MINILM):
        digest = store.resolve(reference)
        assert digest is not None
        found = detect_bounded(store.view(digest))
        kinds[reference] = (found.format, found.task)
    assert kinds == {SMOLLM2: (Format.GGUF, Task.CHAT), MINILM: (Format.ONNX, Task.EMBEDDING)}


def test_what_is_there_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(home)
    assert capsys.readouterr().out.splitlines() == [f"{name} is in the local store" for name in (SMOLLM2, MINILM)]


def test_a_model_of_other_weights_is_made_again_with_the_same_digest(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, memory = Store(home / "store"), home / "quickstart.json"
    before = store.resolve(MINILM)
    known = json.loads(memory.read_text())
    known[str(MINILM)]["madeOf"] = "older weights"
    memory.write_text(json.dumps(known))
    prepare(home)
    said = capsys.readouterr().out
    assert f"{SMOLLM2} is in the local store\n" in said
    assert f"{MINILM}: converting to ONNX" in said
    assert store.resolve(MINILM) == before


def test_a_name_that_was_given_to_another_model_is_put_right(home: Path) -> None:
    store = Store(home / "store")
    right, other = store.resolve(SMOLLM2), store.resolve(MINILM)
    assert right is not None
    assert other is not None
    store.tag(SMOLLM2, other)
    prepare(home)
    assert store.resolve(SMOLLM2) == right


def test_a_home_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file where a folder should be")
    ended = subprocess.run(
        [sys.executable, "-m", "examples.quickstart.prepare"],
        env={**os.environ, "BERTH_HOME": str(home)},
        cwd=tools.REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr[:7]) == (1, "Error: ")
    assert f"Berth keeps its files in {home}; make it yours, or set BERTH_HOME" in ended.stderr
