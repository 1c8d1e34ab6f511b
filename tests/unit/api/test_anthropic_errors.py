"""Errors for those who ask where Anthropic's API is."""

import pytest

from berth_api.anthropic_errors import error_body, error_type, is_anthropic


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
    ],
)
def test_the_type_goes_by_the_status(status: int, kind: str) -> None:
    assert error_type(status) == kind


def test_clients_know_a_prompt_that_is_too_long_by_its_words() -> None:
    body = error_body("The maximum is 5.", status=400, code="context_length_exceeded")
    assert body["error"]["message"] == "prompt is too long: The maximum is 5."


def test_only_the_path_of_that_api_has_its_form() -> None:
    assert is_anthropic("/v1/messages")
    assert is_anthropic("/v1/messages/count_tokens")
    assert not is_anthropic("/v1/messages_of_others")
