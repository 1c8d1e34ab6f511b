from hypothesis import given
from hypothesis import strategies as st

from berth_store.ranges import PAGE_BYTES, Range, Ranges, even_chunk_bytes, plan_chunks

SIZE = 60
SPANS = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda pair: Range(min(pair), max(pair))))


def filled(spans: list[Range]) -> Ranges:
    ranges = Ranges()
    for span in spans:
        ranges.add(span)
    return ranges


@given(SPANS)
def test_ranges_hold_exactly_the_bytes_that_were_added(spans: list[Range]) -> None:
    ranges, expected = filled(spans), {byte for span in spans for byte in range(span.start, span.stop)}
    assert {byte for span in ranges for byte in range(span.start, span.stop)} == expected
    assert ranges.total == len(expected)
    assert ranges.prefix == next(byte for byte in range(SIZE + 1) if byte not in expected)


@given(SPANS)
def test_ranges_are_sorted_and_never_touch(spans: list[Range]) -> None:
    edges = [edge for span in filled(spans) for edge in (span.start, span.stop)]
    assert edges == sorted(set(edges))


@given(SPANS, st.integers(0, SIZE), st.integers(1, 20))
def test_the_plan_fetches_each_missing_byte_once_and_in_order(spans: list[Range], size: int, chunk: int) -> None:
    ranges = filled(spans)
    have = {byte for span in ranges for byte in range(span.start, span.stop)}
    plan = plan_chunks(ranges.missing(size), chunk)
    assert [byte for span in plan for byte in range(span.start, span.stop)] == sorted(set(range(size)) - have)
    assert all(0 < span.length <= chunk for span in plan)


MIB = 1024 * 1024


@given(st.integers(1, 4096 * MIB), st.integers(1, 16), st.integers(1, 64))
def test_no_connection_is_idle_while_others_fetch_a_second_chunk(total: int, chunk_mib: int, connections: int) -> None:
    longest = chunk_mib * MIB
    chunk = even_chunk_bytes(total, longest, connections)
    count = len(plan_chunks((Range(0, total),), chunk))
    assert chunk <= longest
    assert chunk % PAGE_BYTES == 0
    if total <= longest or connections == 1:
        assert chunk == longest
    else:
        # Whole rounds, as few as there can be, but for what rounding up to a page leaves out of the last one.
        rounds = -(-total // (longest * connections))
        assert rounds * connections * (chunk - PAGE_BYTES) < total <= rounds * connections * chunk
        assert count <= rounds * connections


def test_twelve_chunks_on_eight_connections_become_sixteen() -> None:
    assert even_chunk_bytes(192 * MIB, 16 * MIB, 8) == 12 * MIB
