"""What the scenarios recorded becomes the facts of a table."""

from pathlib import Path

import pytest
from bench.cluster import build_cost_facts, build_start_facts, run
from bench.rounds import Effort
from e2e.support import measurements

KNOWN = {
    "ready_seconds": {"smollm2": 12.5},
    "stages_milliseconds": {"smollm2": {"Fetched": 800, "Loaded": 2500}},
    "operator_resident_bytes": 80 * 2**20,
    "operator_models": 20,
}


def test_each_stage_stands_beside_the_bare_load() -> None:
    facts = {fact.name: fact.value for fact in build_start_facts(KNOWN, {"smollm2": 4.0})}
    assert facts == {
        "smollm2, `kubectl apply` to Ready": 12.5,
        "smollm2, stage Fetched": 0.8,
        "smollm2, stage Loaded": 2.5,
        "smollm2, bare load of the same runtime": 4.0,
        "smollm2, apply to Ready beyond the bare load": 8.5,
    }


def test_a_start_whose_images_are_there_stands_beside_the_same_load() -> None:
    known = {"ready_seconds": {}, "warm_seconds": 6.0, "warm_stages_milliseconds": {"Fetched": 500}}
    facts = {fact.name: fact.value for fact in build_start_facts(known, {"minilm": 2.0})}
    assert facts == {
        "minilm once more, its images there, `kubectl apply` to Ready": 6.0,
        "minilm once more, its images there, stage Fetched": 0.5,
        "minilm once more, its images there, apply to Ready beyond the bare load": 4.0,
    }


def test_a_model_whose_weights_are_not_here_has_no_bare_load() -> None:
    assert not any("bare load" in fact.name for fact in build_start_facts(KNOWN, {}))


def test_the_operators_memory_is_told_with_its_models() -> None:
    (fact,) = build_cost_facts(KNOWN)
    assert (fact.name, fact.value, fact.unit) == ("resident memory of the operator with 20 Models", 80.0, "MiB")


def test_without_scenarios_nothing_is_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "FILE", tmp_path / "none.json")
    (missing,) = run(Effort(pairs=1)).not_run
    assert "make e2e" in missing.why


def test_what_was_recorded_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "FILE", tmp_path / "build/measurements.json")
    measurements.record(one=1, two={"a": 2})
    measurements.record(one=3)
    assert measurements.recorded() == {"one": 3, "two": {"a": 2}}
