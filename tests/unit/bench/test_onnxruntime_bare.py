"""The bare loop's batches: every text once, little padding, nothing over the bound but a text that is so alone."""

from bench.peers.onnxruntime_bare import cut_batches
from hypothesis import given
from hypothesis import strategies as st


@given(lengths=st.lists(st.integers(1, 256)), batch_tokens=st.integers(1, 512))
def test_every_text_is_in_one_batch_within_the_bound(lengths: list[int], batch_tokens: int) -> None:
    batches = cut_batches(lengths, batch_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= batch_tokens


def test_neighbours_in_length_share_a_batch_and_the_longest_go_first() -> None:
    assert cut_batches([1, 9, 2, 8], 18) == [[1, 3], [2, 0]]
