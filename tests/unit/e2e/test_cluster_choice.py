"""Which cluster the commands work on, and that nobody else's is touched."""

from pathlib import Path

import pytest
from e2e.cluster import machine
from e2e.cluster.clusters import Existing, Kind, Own, choose_cluster, current_context


def a_kubeconfig(folder: Path, context: str) -> str:
    path = folder / f"{context or 'none'}.yaml"
    path.write_text(f"apiVersion: v1\nkind: Config\ncurrent-context: '{context}'\n")
    return str(path)


def test_a_cluster_whose_context_is_listed_is_used(tmp_path: Path) -> None:
    environment = {"KUBECONFIG": a_kubeconfig(tmp_path, "lab"), "BERTH_E2E_CONTEXTS": "ci, lab"}
    cluster = choose_cluster(environment, may_make_own=True, has_kind=True)
    assert isinstance(cluster, Existing)
    assert cluster.bring_up() == Path(environment["KUBECONFIG"])


@pytest.mark.parametrize("allowed", ["", "ci", "laboratory"])
def test_a_cluster_whose_context_is_not_listed_is_never_touched(tmp_path: Path, allowed: str) -> None:
    environment = {"KUBECONFIG": a_kubeconfig(tmp_path, "lab"), "BERTH_E2E_CONTEXTS": allowed}
    assert isinstance(choose_cluster(environment, may_make_own=True, has_kind=True), Own)


def test_kind_is_for_machines_where_no_cluster_of_our_own_can_be_made() -> None:
    assert isinstance(choose_cluster({}, may_make_own=True, has_kind=True), Own)
    assert isinstance(choose_cluster({}, may_make_own=False, has_kind=True), Kind)
    assert isinstance(choose_cluster({}, may_make_own=False, has_kind=False), Own)


def test_of_several_kubeconfigs_the_first_with_a_context_decides(tmp_path: Path) -> None:
    paths = [str(tmp_path / "missing"), *(a_kubeconfig(tmp_path, context) for context in ("", "lab", "production"))]
    assert current_context(":".join(paths)) == "lab"


def test_images_for_an_existing_cluster_need_a_registry() -> None:
    with pytest.raises(machine.MachineLacks, match="BERTH_E2E_REGISTRY"):
        Existing("/a/kubeconfig", None).bring_images([])


@pytest.mark.parametrize(
    ("environment", "allowed"), [({}, False), ({"CI": "true"}, True), ({"BERTH_INSTALL": "1"}, True)]
)
def test_packages_are_installed_only_where_somebody_said_so(environment: dict[str, str], allowed: bool) -> None:
    assert machine.may_install(environment) is allowed


def test_what_is_missing_is_told_in_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("BERTH_INSTALL", raising=False)
    with pytest.raises(machine.MachineLacks) as told:
        machine.demand({"a-program-that-nobody-has": "some-package"})
    assert "apt-get install --yes --no-install-recommends some-package" in str(told.value)
    assert "\n" not in str(told.value)
