"""What several rooms need: one real API server for the whole run. Whoever breaks it starts one of its own."""

from collections.abc import Iterator

import pytest
from api_server import CRDS, ApiServer, running_api_server


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With Berth's kinds installed. Each test takes a namespace of its own."""
    with running_api_server(tmp_path_factory.mktemp("api-server"), crds=[CRDS]) as server:
        yield server
