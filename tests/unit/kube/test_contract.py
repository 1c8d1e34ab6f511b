"""The fake in memory keeps the contract that a real API server keeps (tests/integration/kube/test_contract.py)."""

import pytest
from cluster_contract import ClusterContract
from fake_cluster import FakeCluster


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def namespace() -> str:
    return "default"


class TestFakeCluster(ClusterContract):
    """The rules are in tests/support/cluster_contract.py."""
