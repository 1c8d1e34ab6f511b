"""What the tests of pull start from."""

from pathlib import Path

import pytest
from oci_artifacts import MadeArtifact, make_artifact
from pulls import CONTENT

from berth_store.local import Store


@pytest.fixture
def artifact() -> MadeArtifact:
    return make_artifact({"model.gguf": CONTENT, "LICENSE": b"Apache-2.0"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
