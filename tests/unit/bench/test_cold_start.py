"""The stages of a start follow one another and are the whole."""

import pytest
from bench.cold_start import peer_sample


def test_the_stages_of_a_peer_add_up_to_the_whole() -> None:
    sample = peer_sample(100.0, {"imported": 100.5, "loaded": 101.0, "answered": 101.25})
    assert sample == {"milliseconds": 1250.0, "imports": 500.0, "load": 500.0, "answer": 250.0}
    assert sample["milliseconds"] == pytest.approx(sample["imports"] + sample["load"] + sample["answer"])
