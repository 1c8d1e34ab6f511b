"""What Helm makes of the chart: with its own values, with others, and what it refuses."""

from pathlib import Path

import chart
import pytest
import yaml
from charts.generate import MANIFESTS, plain_manifests, render_chart
from tools import REPOSITORY, find

from berth_api.errors import InvalidSpec
from berth_kube.lease import LeaseTimes
from berth_operator.settings import OperatorSettings, read_settings

pytestmark = pytest.mark.needs("helm")

BAD = yaml.safe_load((REPOSITORY / "tests/unit/charts/bad_values.yaml").read_text(encoding="utf-8"))


def settings_of(folder: Path, values: chart.Object) -> OperatorSettings:
    file = folder / "operator.yaml"
    file.write_text(chart.settings_text(chart.render(folder, values)), encoding="utf-8")
    return read_settings(file)


def test_helm_finds_nothing_to_say() -> None:
    done = chart.helm("lint", "--strict", str(chart.CHART))
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def test_the_plain_manifests_are_the_chart_with_its_own_values() -> None:
    body = plain_manifests(render_chart(str(find("helm")), chart.CHART))
    assert (REPOSITORY / MANIFESTS).read_text(encoding="utf-8").endswith(f"\n{body}")


@pytest.mark.parametrize("path", BAD)
def test_helm_refuses_a_wrong_value_by_its_name(tmp_path: Path, path: str) -> None:
    said = chart.refusal(tmp_path, chart.values_at(path, BAD[path]))
    place, leaf = f"'/{path.replace('.', '/')}", f"'{path.rpartition('.')[2]}'"
    assert place in said or leaf in said


@pytest.mark.parametrize(
    ("times", "named"),
    [((10, 10, 2), "renewDeadlineSeconds"), ((10, 8.5, 2), "renewDeadlineSeconds"), ((10, 3, 3), "retrySeconds")],
)
def test_a_lease_that_the_operator_would_not_start_with_is_refused(
    tmp_path: Path, times: tuple[int, float, float], named: str
) -> None:
    with pytest.raises(InvalidSpec):
        LeaseTimes(*times)
    given = dict(zip(("durationSeconds", "renewDeadlineSeconds", "retrySeconds"), times, strict=True))
    assert f"operator.lease.{named} must be" in chart.refusal(tmp_path, chart.values_at("operator.lease", given))


def test_the_shortest_lease_is_taken_by_both(tmp_path: Path) -> None:
    LeaseTimes(4, 2, 0.5)
    given = {"durationSeconds": 4, "renewDeadlineSeconds": 2, "retrySeconds": 0.5}
    assert settings_of(tmp_path, chart.values_at("operator.lease", given)).lease.duration_seconds == 4


def test_settings_reach_the_operator_as_they_were_given(tmp_path: Path) -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3600}
    settings = settings_of(
        tmp_path,
        {
            "global": {"registry": "registry.example:5000/berth", "imagePullSecrets": ["mirror"]},
            "images": {"cpu": {"digest": f"sha256:{'0' * 64}"}, "rocm": {"repository": ""}},
            "profiles": {"l4": {"memory": "24Gi", "tolerations": [toleration], "nodeSelector": {"gpu": "l4"}}},
            "loader": {
                "insecureRegistries": ["registry:5000"],
                "caBundle": {"configMap": {"name": "authorities"}},
                "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
                "resources": {"requests": {"cpu": "2"}},
            },
            "operator": {"limits": {"writesPerSecond": 7.5}, "logLevel": "debug"},
            "monitoring": {"podLabels": {"app": "prometheus"}},
        },
    )
    assert settings.images.fetch.startswith("registry.example:5000/berth/berth-fetch:")
    assert settings.images.cpu == f"registry.example:5000/berth/berth-runtime-cpu@sha256:{'0' * 64}"
    assert settings.images.rocm == ""
    assert settings.image_pull_secrets == ("mirror",)
    assert settings.profiles["l4"].tolerations == (toleration,)
    assert settings.loader.env[0].value == "http://proxy:3128"
    bundle = settings.loader.ca_bundle.config_map
    assert (bundle.name, bundle.key) == ("authorities", "ca.crt")
    assert settings.loader.resources == {"requests": {"cpu": "2"}}
    assert settings.limits.writes_per_second == 7.5
    assert settings.monitoring_labels == {"app": "prometheus"}


def test_an_upgrade_of_the_chart_changes_nothing_that_models_run(tmp_path: Path) -> None:
    later = tmp_path / "later"
    later.mkdir()
    for path in (path for path in chart.CHART.rglob("*") if path.is_file()):
        copy = later / path.relative_to(chart.CHART)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    metadata = (later / "Chart.yaml").read_text(encoding="utf-8").replace("ersion: 0.1.0", "ersion: 9.9.9")
    (later / "Chart.yaml").write_text(metadata, encoding="utf-8")
    before, after = chart.render(tmp_path), chart.render(tmp_path, chart=later)
    assert chart.settings_text(before) == chart.settings_text(after)
    images = [container["image"] for container in chart.containers_of(chart.pod_templates(after)["berth-operator"])]
    assert images == ["localhost/berth-operator:9.9.9"]


def test_changed_settings_roll_the_operator_and_nothing_else(tmp_path: Path) -> None:
    before = chart.pod_templates(chart.render(tmp_path))
    after = chart.pod_templates(chart.render(tmp_path, chart.values_at("operator.limits.burst", 5)))
    assert before["berth-operator"] != after["berth-operator"]
    assert before["berth-gateway"] == after["berth-gateway"]
