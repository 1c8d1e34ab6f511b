"""The fuzzer finds what it is there to find; `make fuzz` runs it long."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fuzz import __main__ as command
from tests.fuzz.run import Tally, fuzz
from tests.fuzz.targets import TARGETS


def run(target: str, folder: Path, *, seed: int, readings: int) -> Tally:
    return fuzz(TARGETS[target](folder), seconds=30, seed=seed, most_readings=readings)


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_finds_nothing(tmp_path: Path, target: str) -> None:
    tally = run(target, tmp_path, seed=11, readings=120)
    assert tally.findings == []
    assert tally.outcomes["accepted"] > 0
    assert tally.outcomes["refused"] > 20


def test_a_seed_repeats_a_run(tmp_path: Path) -> None:
    first, second = (run("gguf", tmp_path / name, seed=5, readings=100) for name in "ab")
    assert first.outcomes == second.outcomes


def skip(*_: object) -> None:
    """In place of a check."""


def no_fault(*_: object) -> None:
    """In place of a judge."""


FAULTS: dict[str, tuple[str, str, Callable[..., object], str]] = {
    "a check that is gone": ("gguf", "berth_store.headers.gguf._GgufReader._check_data", skip, "beyond the file's end"),
    "a bound that is gone": ("gguf", "berth_store.headers.file.HeaderFile.require", skip, "Error"),
    "holes that are let pass": ("safetensors", "berth_store.headers.safetensors._check_data", skip, "differ in length"),
    "names that lead out": ("archives", "berth_store.archive.walk.name_fault", no_fault, "was let through"),
    "a judge who is asleep": ("templates", "tests.fuzz.texts.template_fault", no_fault, "hides it"),
    "a signature that nobody checks": (
        "signatures",
        "berth_store.signing.policies.has_signed",
        lambda *_: True,
        "something else",
    ),
    "a digest that is not looked at": (
        "signatures",
        "berth_store.signing.statement._is_hex",
        lambda _: True,
        "ValueError",
    ),
    "a certificate that is read by halves": (
        "signatures",
        "berth_store.signing.certificates._whole",
        lambda one: one,
        "ValueError",
    ),
}


@pytest.mark.parametrize(("target", "place", "fault", "what"), FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_found_and_told_in_hex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, place: str, fault: Callable[..., object], what: str
) -> None:
    monkeypatch.setattr(place, fault)
    finding = run(target, tmp_path, seed=2, readings=20_000).findings[0]
    assert what in finding.what
    assert finding.content.hex() in str(finding)


def test_the_command_fails_at_a_finding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("berth_store.headers.safetensors._check_data", skip)
    monkeypatch.setattr(sys, "argv", ["fuzz", "safetensors", "--each", "30", "--seed", "2"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert command.main() == 1
    assert "FOUND in safetensors with --seed 2" in capsys.readouterr().out


def test_the_command_knows_its_targets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "pickles"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit):
        command.main()
    assert "no target is called pickles; there are gguf" in capsys.readouterr().err
