"""One vocabulary of errors behind one address: engines, gateway and agent say the same word for the same thing."""

import re
from pathlib import Path

import pytest

from berth_api.openai_errors import ErrorCode, ErrorType, error_body, error_type
from berth_api.suggestions import close_words

ROOT = Path(__file__).parents[3]
# A code is the second value of a Failure, or the keyword `code`.
_WRITTEN = re.compile(r'Failure\(\s*\d+,\s*"(\w+)"|\bcode="(\w+)"|InputRefused\(\s*\w+,\s*"(\w+)"')


@pytest.mark.parametrize("package", ["runtime/berth_runtime", "gateway/berth_gateway"])
def test_every_code_that_is_written_as_a_text_is_a_word_of_the_vocabulary(package: str) -> None:
    sources = [path.read_text() for path in (ROOT / package).rglob("*.py")]
    written = {word for source in sources for found in _WRITTEN.findall(source) for word in found if word}
    assert sources
    assert written <= set(ErrorCode)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ErrorType.INVALID_REQUEST),
        (404, ErrorType.INVALID_REQUEST),
        (429, ErrorType.RATE_LIMIT),
        (500, ErrorType.SERVER),
        (503, ErrorType.SERVER),
    ],
)
def test_the_type_of_an_error_follows_its_status(status: int, kind: ErrorType) -> None:
    assert error_type(status) is kind


def test_an_error_has_the_four_fields_that_clients_read() -> None:
    error = error_body("No.", param="model", code=ErrorCode.MODEL_NOT_FOUND)["error"]
    assert error == {"message": "No.", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    assert {type(value) for value in error.values()} == {str}, "whatever writes it out needs no enum"


def test_close_words_come_closest_first_whatever_their_case() -> None:
    assert close_words("SmolLM", ["minilm", "smollm2", "smollm"], most=2) == ["smollm", "smollm2"]


def test_words_beyond_the_bound_are_not_compared() -> None:
    assert close_words("qwen", [*(f"x{number}" for number in range(2000)), "qwen"]) == []
