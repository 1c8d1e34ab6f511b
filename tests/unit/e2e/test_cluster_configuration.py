"""The cluster's configuration files: complete, valid, and with every address from one place."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from e2e.cluster import addresses
from e2e.cluster.configuration import SOURCES, TARGETS, render, write_configuration

GROUP = "berth-cluster-0123abcd"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_configuration(tmp_path, GROUP)
    return tmp_path


def test_every_file_is_written_and_no_placeholder_is_left(written: Path) -> None:
    assert {path.name for path in SOURCES.iterdir()} == set(TARGETS)
    for target in TARGETS.values():
        assert not re.search(r"@[A-Z_]+@", (written / target).read_text()), target


def test_no_file_states_an_address_of_its_own() -> None:
    for source in SOURCES.iterdir():
        found = set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", source.read_text())) - {"0.0.0.0"}
        assert not found, source.name


def test_a_placeholder_without_a_value_is_refused() -> None:
    with pytest.raises(KeyError, match="NOBODY_KNOWS"):
        render("a: @NOBODY_KNOWS@", addresses.PLACEHOLDERS)


def test_what_looks_like_a_template_of_another_language_is_left_alone() -> None:
    text = "{{ $now := Now }} user@example"
    assert render(text, addresses.PLACEHOLDERS) == text


def test_pods_live_below_the_clusters_own_control_group(written: Path) -> None:
    assert yaml.safe_load((written / "kubelet.yaml").read_text())["cgroupRoot"] == f"/{GROUP}"


def test_pods_ask_the_dns_service_that_is_applied(written: Path) -> None:
    kubelet = yaml.safe_load((written / "kubelet.yaml").read_text())
    objects = list(yaml.safe_load_all((written / "system.yaml").read_text()))
    (service,) = (each for each in objects if each["kind"] == "Service")
    assert kubelet["clusterDNS"] == [service["spec"]["clusterIP"]]


def test_containerd_reaches_the_registry_without_tls(written: Path) -> None:
    containerd = tomllib.loads((written / "containerd.toml").read_text())
    images = containerd["plugins"]["io.containerd.cri.v1.images"]
    hosts = tomllib.loads((written / "registries" / addresses.REGISTRY / "hosts.toml").read_text())
    assert images["registry"]["config_path"] == "/run/berth/registries"
    assert list(hosts["host"]) == [f"http://{addresses.REGISTRY}"]


def test_every_request_is_audited_once_with_who_asked(written: Path) -> None:
    policy = yaml.safe_load((written / "audit.yaml").read_text())
    assert policy["rules"] == [{"level": "Metadata"}]
    assert policy["omitStages"] == ["RequestReceived"]


def test_a_fake_pod_passes_its_init_containers_before_it_is_ready(written: Path) -> None:
    stages = {
        each["metadata"]["name"]: each["spec"] for each in yaml.safe_load_all((written / "stages.yaml").read_text())
    }
    initialised = next(
        each["values"] for each in stages["pod-ready"]["selector"]["matchExpressions"] if "Initialized" in each["key"]
    )
    assert initialised == ["True"]
    assert stages["pod-deleted"]["next"] == {"delete": True}
