"""The window: what may share a batch, and that nobody is forgotten."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from berth_runtime.engines.text_window import BatchLimits, Window, plan_batch

LIMITS = BatchLimits(max_sequences=4, max_tokens=100, max_padding=0.2)

limits = st.builds(
    BatchLimits,
    max_sequences=st.integers(1, 8),
    max_tokens=st.integers(1, 200),
    max_padding=st.floats(0, 1),
)
sizes = st.lists(st.integers(1, 100), min_size=1, max_size=30)


@dataclass(eq=False)
class Text:
    length: int
    request: str = "one"
    dropped: bool = False


def window_of(*lengths: int, limits: BatchLimits = LIMITS) -> tuple[Window[Text], list[Text]]:
    window: Window[Text] = Window(limits)
    texts = [Text(length) for length in lengths]
    for text in texts:
        window.add(text)
    return window, texts


def lengths_of(texts: list[Text]) -> list[int]:
    return sorted(text.length for text in texts)


def test_neighbours_in_length_share_a_batch() -> None:
    window, _ = window_of(10, 90, 11, 9)
    assert lengths_of(window.take()) == [9, 10, 11]
    assert lengths_of(window.take()) == [90]


def test_a_batch_ends_at_the_number_of_sequences() -> None:
    window, _ = window_of(*[10] * 6)
    assert [len(window.take()) for _ in range(3)] == [4, 2, 0]


def test_a_batch_ends_at_the_tokens_that_its_padded_rows_have() -> None:
    window, _ = window_of(30, 30, 30, 30)
    assert [len(window.take()) for _ in range(2)] == [3, 1]


def test_one_sequence_alone_may_be_longer_than_a_batch() -> None:
    window, _ = window_of(500)
    assert lengths_of(window.take()) == [500]


def test_the_one_that_has_waited_longest_goes_first_whatever_its_length() -> None:
    window, texts = window_of(90, 1, 1, 1, 1, 1)
    assert window.take() == [texts[0]]


def test_a_long_list_does_not_hold_up_a_single_text() -> None:
    window, _ = window_of(*[90] * 10)
    single = Text(5, request="two")
    window.add(single)
    assert [window.take() == [single] for _ in range(3)] == [False, True, False]


def test_requests_take_turns() -> None:
    window: Window[Text] = Window(BatchLimits(max_sequences=1))
    for request in "aaabbc":
        window.add(Text(10, request=request))
    assert "".join(window.take()[0].request for _ in range(6)) == "abcaba"


def test_few_sequences_are_shared_among_the_threads() -> None:
    window, _ = window_of(10, 10, 10, 10)
    assert [len(window.take(share=2)) for _ in range(3)] == [2, 1, 1]


def test_what_is_dropped_while_it_waits_is_never_taken() -> None:
    window, texts = window_of(10, 11, 12)
    texts[0].dropped = texts[2].dropped = True
    assert window.take() == [texts[1]]
    assert window.take() == []
    assert len(window) == 0


@given(lengths=sizes, limits=limits, data=st.data())
def test_a_batch_keeps_every_limit(lengths: list[int], limits: BatchLimits, data: st.DataObject) -> None:
    lengths = sorted(lengths)
    anchor = data.draw(st.integers(0, len(lengths) - 1))
    chosen = plan_batch(lengths, anchor, limits)
    batch = [lengths[at] for at in chosen]
    padded = len(batch) * max(batch)
    assert anchor in chosen
    assert len(batch) <= limits.max_sequences
    assert len(batch) == 1 or padded <= limits.max_tokens
    assert padded - sum(batch) <= limits.max_padding * padded


@given(lengths=sizes, limits=limits, share=st.integers(1, 4), dropped=st.sets(st.integers(0, 29)))
def test_each_text_is_taken_exactly_once(
    lengths: list[int], limits: BatchLimits, share: int, dropped: set[int]
) -> None:
    window, texts = window_of(*lengths, limits=limits)
    for index in dropped & set(range(len(texts))):
        texts[index].dropped = True
    taken: list[Text] = []
    while batch := window.take(share=share):
        waiting = [text for text in texts if not text.dropped and text not in taken]
        assert waiting[0] in batch
        taken += batch
    assert sorted(map(id, taken)) == sorted(id(text) for text in texts if not text.dropped)
    assert len(window) == 0
