"""Models that share the memory of a process: who finds room, and how much each may fill."""

import pytest

from berth_api.errors import UnsupportedModel
from berth_runtime.memory_shares import MemoryShares

GIB = 1 << 30


def test_one_model_may_fill_all_of_it() -> None:
    assert MemoryShares(8 * GIB, models=1).take("chat", 2 * GIB) == 8 * GIB


def test_what_the_weights_leave_is_shared_evenly() -> None:
    shares = MemoryShares(8 * GIB, models=2)
    assert shares.take("chat", 4 * GIB) == 6 * GIB
    assert shares.take("embed", 2 * GIB) == 3 * GIB


def test_a_model_that_finds_no_room_is_refused_with_the_sum() -> None:
    shares = MemoryShares(8 * GIB, models=2)
    shares.take("chat", 6 * GIB)
    with pytest.raises(UnsupportedModel) as refused:
        shares.take("embed", 3 * GIB)
    assert str(refused.value) == (
        "its files are 3.0 GiB; this process may fill 8.0 GiB, and chat has 6.0 GiB of it. "
        "Give it more memory, or serve fewer models in this process"
    )


def test_a_refused_model_takes_nothing_from_the_next() -> None:
    shares = MemoryShares(8 * GIB, models=3)
    with pytest.raises(UnsupportedModel, match="take a smaller or a more quantised model"):
        shares.take("huge", 9 * GIB)
    assert shares.take("chat", 8 * GIB) == 8 * GIB


def test_a_model_that_starts_anew_takes_its_place_again() -> None:
    shares = MemoryShares(8 * GIB, models=2)
    for _ in range(3):
        assert shares.take("chat", 6 * GIB) == 7 * GIB
