"""Frames: whatever is sent arrives as it was, however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_runtime.frames import HEADER, MAX_PAYLOAD_BYTES, BrokenFrame, Frame, FrameDecoder, FrameKind, encode_frame

FRAMES = st.lists(
    st.builds(Frame, st.sampled_from(FrameKind), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=20
)


@given(frames=FRAMES, sizes=st.lists(st.integers(1, 500), min_size=1))
def test_frames_arrive_as_they_were_however_the_stream_is_cut(frames: list[Frame], sizes: list[int]) -> None:
    stream = b"".join(encode_frame(*frame) for frame in frames)
    decoder, arrived, at, turn = FrameDecoder(), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        arrived += decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert arrived == frames


@given(st.binary(max_size=2000))
def test_junk_is_refused_or_waited_for_and_nothing_else(junk: bytes) -> None:
    decoder = FrameDecoder()
    try:
        frames = decoder.feed(junk)
    except BrokenFrame:
        return
    assert sum(HEADER.size + len(frame.payload) for frame in frames) <= len(junk)


def test_a_length_that_can_not_be_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(BrokenFrame):
        FrameDecoder().feed(HEADER.pack(MAX_PAYLOAD_BYTES + 1, 1, FrameKind.CHUNK))


def test_a_kind_that_is_unknown_is_refused() -> None:
    with pytest.raises(BrokenFrame):
        FrameDecoder().feed(HEADER.pack(0, 1, 99))
