"""The fuzzer finds what it is there to find; `make fuzz` runs it long."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fuzz import __main__ as command
from tests.fuzz.bundles import fuzz_bundles
from tests.fuzz.headers import fuzz


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    tally = fuzz(tmp_path, seconds=10, seed=11, max_files=600)
    assert tally.findings == []
    assert tally.outcomes["accepted"] > 50
    assert tally.outcomes["refused"] > 200


def test_a_seed_repeats_a_run(tmp_path: Path) -> None:
    first, second = (fuzz(tmp_path / name, seconds=30, seed=5, max_files=200) for name in "ab")
    assert first.outcomes == second.outcomes


def skip(*_: object) -> None:
    """In place of a check."""


FAULTS: dict[str, tuple[str, Callable[..., None], str]] = {
    "a check that is gone": ("berth_store.headers.gguf._GgufReader._check_data", skip, "beyond the file's end"),
    "a bound that is gone": ("berth_store.headers.file.HeaderFile.require", skip, "Error"),
    "holes that are let pass": ("berth_store.headers.safetensors._check_data", skip, "differ in length"),
}


@pytest.mark.parametrize(("place", "fault", "what"), FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_found_and_told_in_hex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, fault: Callable[..., None], what: str
) -> None:
    monkeypatch.setattr(place, fault)
    (finding,) = fuzz(tmp_path, seconds=30, seed=2).findings
    assert what in finding.what
    assert finding.content.hex() in str(finding)


def test_the_command_fails_at_a_finding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("berth_store.headers.safetensors._check_data", skip)
    monkeypatch.setattr(sys, "argv", ["fuzz", "--seconds", "30", "--seed", "2"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert command.main() == 1
    assert "FOUND with --seed 2" in capsys.readouterr().out


def test_a_short_run_over_signatures_finds_nothing() -> None:
    tally = fuzz_bundles(seconds=10, seed=11, max_files=600)
    assert tally.findings == []
    assert tally.outcomes["refused"] > 400


SIGNATURE_FAULTS: dict[str, tuple[str, Callable[..., object], str]] = {
    "a signature that nobody checks": ("berth_store.signing.policies.has_signed", lambda *_: True, "something else"),
    "a digest that is not looked at": ("berth_store.signing.statement._is_hex", lambda _: True, "ValueError"),
    "a certificate that is read by halves": ("berth_store.signing.certificates._whole", lambda one: one, "ValueError"),
}


@pytest.mark.parametrize(("place", "fault", "what"), SIGNATURE_FAULTS.values(), ids=SIGNATURE_FAULTS.keys())
def test_a_fault_in_judging_signatures_is_found(
    monkeypatch: pytest.MonkeyPatch, place: str, fault: Callable[..., object], what: str
) -> None:
    monkeypatch.setattr(place, fault)
    (finding,) = fuzz_bundles(seconds=30, seed=4).findings
    assert what in finding.what
