"""Rows of one cache, read in pieces, copied and gone on with side by side, give what numpy computes of each alone."""

from pathlib import Path

import numpy as np
import pytest
from tiny_decoder import CONTEXT, VOCABULARY, TinyWeights, write_tiny_decoder

from berth_runtime.engines.decoder_graph import DecoderGraph
from berth_runtime.engines.onnx_session import open_session
from berth_store.detect import detect

TOLERANCE = 1e-4
TEXTS = [[number * step % VOCABULARY for number in range(1, 13)] for step in (3, 7, 11)]


@pytest.fixture(scope="module")
def weights() -> TinyWeights:
    return TinyWeights()


@pytest.fixture(scope="module")
def folder(weights: TinyWeights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_decoder(tmp_path_factory.mktemp("tiny"), weights)


@pytest.fixture
def graph(folder: Path) -> DecoderGraph:
    decoder = detect(folder).decoder
    assert decoder is not None
    return DecoderGraph(open_session(folder / "model.onnx"), decoder, rows=3, context_length=CONTEXT)


def same(found: np.ndarray, weights: TinyWeights, text: list[int]) -> None:
    np.testing.assert_allclose(found, weights.logits(text)[-1], atol=TOLERANCE)


def test_a_prompt_gives_what_numpy_says(graph: DecoderGraph, weights: TinyWeights) -> None:
    for row, text in enumerate(TEXTS):
        same(graph.read(row, 0, text), weights, text)


@pytest.mark.parametrize("pieces", [(12,), (5, 7), (1, 10, 1), (4, 4, 4)])
def test_in_however_many_pieces(graph: DecoderGraph, weights: TinyWeights, pieces: tuple[int, ...]) -> None:
    start = 0
    for size in pieces:
        found = graph.read(1, start, TEXTS[0][start : start + size])
        start += size
    same(found, weights, TEXTS[0])


def test_rows_of_different_lengths_go_on_side_by_side(graph: DecoderGraph, weights: TinyWeights) -> None:
    texts = [TEXTS[0][:4], TEXTS[1][:9], TEXTS[2][:1]]
    for row, text in enumerate(texts):
        graph.read(row, 0, text)
    for token in (17, 80, 3):
        found = graph.step([token, token + 1, token + 2], [len(text) for text in texts])
        for row, text in enumerate(texts):
            text.append(token + row)
            same(found[row], weights, text)


def test_a_row_at_rest_is_not_harmed_by_the_steps_of_others(graph: DecoderGraph, weights: TinyWeights) -> None:
    graph.read(0, 0, TEXTS[0][:6])
    graph.read(1, 0, TEXTS[1])
    graph.step([0, 44], [6, len(TEXTS[1])])
    graph.step([0, 45], [6, len(TEXTS[1]) + 1])
    same(graph.read(0, 6, TEXTS[0][6:]), weights, TEXTS[0])


def test_a_copied_beginning_is_as_good_as_one_that_was_read(graph: DecoderGraph, weights: TinyWeights) -> None:
    graph.read(0, 0, TEXTS[0])
    graph.copy(0, 2, 8)
    text = [*TEXTS[0][:8], *TEXTS[2][:3]]
    same(graph.read(2, 8, text[8:]), weights, text)
    same(graph.step([5], [len(TEXTS[0])])[0], weights, [*TEXTS[0], 5])


def test_a_row_is_used_to_its_last_place(graph: DecoderGraph, weights: TinyWeights) -> None:
    text = [number * 13 % VOCABULARY for number in range(CONTEXT)]
    graph.read(0, 0, text[:-1])
    same(graph.step([text[-1]], [CONTEXT - 1])[0], weights, text)
