"""The operator's file: every mistake names its field, and nothing unknown is passed over."""

from pathlib import Path

import pytest

from berth_api.errors import InvalidSpec
from berth_operator.settings import Backend, read_settings

LEAST = "namespace: berth-system\nimages: {fetch: fetch:1, cpu: cpu:1}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "operator.yaml"


def test_little_has_to_be_said(file: Path) -> None:
    file.write_text(LEAST)
    settings = read_settings(file)
    assert settings.namespace == "berth-system"
    assert settings.watch_namespaces == ()
    assert (settings.limits.writes_per_second, settings.lease.duration_seconds) == (50, 15)


def test_profiles_speak_of_memory_in_quantities(file: Path) -> None:
    file.write_text(f"{LEAST}profiles: {{l4: {{memory: 24Gi}}, mi300: {{memory: 192Gi, backend: ROCm}}}}")
    profiles = read_settings(file).profiles
    assert profiles["mi300"].backend is Backend.ROCM


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (f"{LEAST}watchNamespace: [a]", "watchNamespace"),
        (f"{LEAST}limits: {{writesPerSecond: 0}}", "limits.writesPerSecond"),
        (f"{LEAST}profiles: {{l4: {{memory: much}}}}", "profiles.l4.memory"),
        (f"{LEAST}port: 99999", "port"),
        ("namespace: a", "images"),
        ("- a list", "the document"),
    ],
)
def test_a_mistake_names_its_field(file: Path, text: str, field: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidSpec) as error:
        read_settings(file)
    assert any(one.path.startswith(field) for one in error.value.errors), error.value


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    file.write_text(f"{LEAST}port: no\nlogLevel: loud")
    with pytest.raises(InvalidSpec) as error:
        read_settings(file)
    assert {one.path for one in error.value.errors} == {"port", "logLevel"}


@pytest.mark.parametrize("text", [None, "a: b: c"])
def test_a_file_that_can_not_be_read_is_named(file: Path, text: str | None) -> None:
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidSpec, match=r"operator\.yaml"):
        read_settings(file)
