from collections.abc import Iterator
from pathlib import Path

import pytest
import registry

from berth_store.local import Store


@pytest.fixture
def real_registry(tmp_path: Path) -> Iterator[registry.RunningRegistry]:
    with registry.running_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
