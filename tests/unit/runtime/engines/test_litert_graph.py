"""One interpreter of LiteRT: shapes that change, and those that it refuses."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_encoder import table_tflite

from berth_runtime.engines.litert_graph import RUN_ERRORS, LitertGraph, Outputs
from berth_store.headers.tflite import read_tflite

TABLE = np.arange(10, dtype=np.float32).reshape(5, 2)


def test_after_a_shape_that_was_refused_the_next_text_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(table_tflite(TABLE, pools=True))
    header = read_tflite(path)
    graph, (ids, mask) = LitertGraph(path, header.outputs), header.inputs

    def run(tokens: list[int], kept: list[int]) -> NDArray[np.float32]:
        feed = {ids.index: np.array([tokens], np.int32), mask.index: np.array([kept], np.int32)}
        found: Outputs = graph.run(feed)
        return found[header.outputs[0].index]

    np.testing.assert_allclose(run([1, 2], [1, 1]), [[3, 4]])
    with pytest.raises(RUN_ERRORS):
        run([1, 2], [1, 1, 1])
    np.testing.assert_allclose(run([1, 2], [1, 1]), [[3, 4]])
    np.testing.assert_allclose(run([1, 2, 3], [1, 0, 1]), [[4, 5]])
