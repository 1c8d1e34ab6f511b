"""Drift of the chart's CRDs and of the plain manifests is found without Helm."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chart import CHART, PLAIN
from charts.generate import plain_manifests, render_crd_template
from tools import REPOSITORY

STALE = "is not what the chart and the types say; run `make chart`"


def check(root: Path) -> list[str]:
    script = str(REPOSITORY / "charts/generate.py")
    command = [sys.executable, script, "--check", "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (1 if done.stderr else 0)
    return done.stderr.splitlines()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(CHART, tmp_path / "charts/berth")
    (tmp_path / "deploy").mkdir()
    shutil.copy(PLAIN, tmp_path / "deploy")
    return tmp_path


def test_the_files_in_the_repository_are_what_chart_and_types_say() -> None:
    assert check(REPOSITORY) == []


def test_a_copy_elsewhere_is_no_drift(copy: Path) -> None:
    assert check(copy) == []


@pytest.mark.parametrize("file", ["charts/berth/values.yaml", "charts/berth/Chart.yaml", "deploy/berth.yaml"])
def test_an_edit_without_make_chart_is_found(copy: Path, file: str) -> None:
    with (copy / file).open("a", encoding="utf-8") as edited:
        edited.write("# edited\n")
    assert check(copy) == [f"deploy/berth.yaml {STALE}"]


def test_a_new_template_without_make_chart_is_found(copy: Path) -> None:
    (copy / "charts/berth/templates/more.yaml").write_text("kind: ConfigMap\n", encoding="utf-8")
    assert check(copy) == [f"deploy/berth.yaml {STALE}"]


def test_crds_of_other_types_are_found(copy: Path) -> None:
    (copy / "charts/berth/templates/crds/berth.dev_models.yaml").unlink()
    assert check(copy) == [
        f"charts/berth/templates/crds/berth.dev_models.yaml {STALE}",
        f"deploy/berth.yaml {STALE}",
    ]


def test_braces_in_a_description_stay_what_they_are() -> None:
    crd = {"apiVersion": "v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"}}
    text = render_crd_template(crd | {"spec": {"description": "a {{ name }} in braces"}})
    assert 'description: a {{ "{{" }} name }} in braces' in text


def test_the_plain_manifests_begin_with_the_namespace() -> None:
    rendered = "kind: Deployment\nmetadata: {name: a, labels: {helm.sh/chart: berth-1}}\n"
    first, second = plain_manifests(rendered).split("---\n")
    assert "kind: Namespace" in first
    assert second == "kind: Deployment\nmetadata:\n  name: a\n"
