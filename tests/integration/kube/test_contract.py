"""A real API server behind `HttpCluster` keeps the contract that the fake keeps (tests/unit/kube/test_contract.py)."""

import pytest
from cluster_contract import ClusterContract


@pytest.mark.needs("kube")
class TestHttpCluster(ClusterContract):
    """The rules are in tests/support/cluster_contract.py."""
