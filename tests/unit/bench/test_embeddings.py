"""Only sides that compute the same vectors are compared."""

import numpy as np
import pytest
from bench.embedding_sides import request_bodies
from bench.embeddings import check_same_vectors
from bench.load import BadAnswer
from bench.peers.onnxruntime_bare import Vectors

OURS: Vectors = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)


def test_vectors_that_differ_by_rounding_and_length_are_the_same() -> None:
    check_same_vectors("theirs", OURS, 3 * OURS + np.float32(1e-3))


def test_one_vector_of_another_text_is_found() -> None:
    with pytest.raises(BadAnswer, match="theirs computed other vectors"):
        check_same_vectors("theirs", OURS, OURS[::-1])


def test_vectors_that_are_no_numbers_are_not_the_same() -> None:
    with pytest.raises(BadAnswer, match="nan"):
        check_same_vectors("theirs", OURS, OURS * np.float32("nan"))


def test_a_vector_that_is_missing_is_found() -> None:
    with pytest.raises(BadAnswer, match=r"theirs computed \(1, 2\) numbers"):
        check_same_vectors("theirs", OURS, OURS[:1])


def test_every_text_is_in_one_request() -> None:
    bodies = request_bodies(tuple(f"text {number}" for number in range(70)))
    assert [body.count(b"text ") for body in bodies] == [32, 32, 6]
