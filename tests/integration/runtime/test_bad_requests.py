"""Whatever is wrong with a request, the answer has OpenAI's form and says which field and what would be right."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from runtime_server import RunningServer, a_fake_model, serve_fakes

from berth_api.artifact import Task

MESSAGES = [{"role": "user", "content": "words=1"}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningServer]:
    models = a_fake_model("smollm2"), a_fake_model("minilm", task=Task.EMBEDDING)
    async with serve_fakes(*models, a_fake_model("doll", task=Task.EMBEDDING, matryoshka="true")) as server:
        yield server


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(running: RunningServer, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with running.session.post(f"{running.base_url}{path}", data=data, headers=headers) as response:
        answer = await response.json()
        assert set(answer) == {"error"} or response.status == 200
        return response.status, answer.get("error", answer)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b'{"a":' * 2000 + b"1" + b"}" * 2000],
)
async def test_a_body_that_is_no_json_object(running: RunningServer, body: bytes) -> None:
    status, error = await post(running, "/v1/chat/completions", body)
    assert (status, error["code"], error["type"]) == (400, "invalid_json", "invalid_request_error")


NESTED: Any = json.loads("[" * 400 + "]" * 400)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{**MESSAGES[0], "name": NESTED}]}),
        ("/v1/chat/completions", {"messages": MESSAGES, "chat_template_kwargs": {"x": NESTED}}),
    ],
)
async def test_what_is_nested_too_deeply_is_refused(running: RunningServer, path: str, body: Any) -> None:
    status, error = await post(running, path, {"model": "smollm2", **body})
    assert (status, error["code"]) == (400, "invalid_json")


async def test_of_a_key_that_stands_twice_the_last_counts(running: RunningServer) -> None:
    body = b'{"model": "nobody", "messages": [{"role": "user", "content": "words=1"}], "model": "smollm2"}'
    status, answer = await post(running, "/v1/chat/completions", body)
    assert (status, answer["model"]) == (200, "smollm2")


async def test_an_unknown_model_is_not_found_and_close_names_are_told(running: RunningServer) -> None:
    status, error = await post(running, "/v1/chat/completions", {"model": "smolm2", "messages": MESSAGES})
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "Did you mean 'smollm2'" in error["message"]


async def test_of_several_models_one_has_to_be_named(running: RunningServer) -> None:
    status, error = await post(running, "/v1/chat/completions", {"messages": MESSAGES})
    assert (status, error["code"], error["param"]) == (400, "missing_required_parameter", "model")


async def test_the_gateways_header_wins_over_the_body(running: RunningServer) -> None:
    body = {"model": "an-alias", "messages": MESSAGES}
    status, answer = await post(running, "/v1/chat/completions", body, **{"x-berth-model": "smollm2"})
    assert (status, answer["model"]) == (200, "smollm2")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": []}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ("/v1/chat/completions", {"messages": [*MESSAGES, {"role": "user"}]}, "messages[1].content"),
        ("/v1/chat/completions", {"messages": MESSAGES, "temperature": "hot"}, "temperature"),
        ("/v1/chat/completions", {"messages": MESSAGES, "n": True}, "n"),
        ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 0}, "max_tokens"),
        ("/v1/chat/completions", {"messages": MESSAGES, "stream_options": {"include_usage": True}}, "stream_options"),
        ("/v1/completions", {}, "prompt"),
        ("/v1/completions", {"prompt": ["a", 1]}, "prompt"),
        ("/generate", {"inputs": 5}, "prompt"),
        ("/generate", {"inputs": "a", "prompt": "b"}, "prompt"),
    ],
)
async def test_the_wrong_field_is_named(running: RunningServer, path: str, body: dict[str, Any], param: str) -> None:
    status, error = await post(running, path, {"model": "smollm2", **body})
    assert (status, error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("inputs", "param"),
    [("", "input"), ([], "input"), (None, "input"), (["a", ""], "input[1]"), (["a", [1]], "input[1]")],
)
async def test_the_wrong_input_is_named(running: RunningServer, inputs: Any, param: str) -> None:
    status, error = await post(running, "/v1/embeddings", {"model": "minilm", "input": inputs})
    assert (status, error["param"]) == (400, param)


async def test_a_known_parameter_that_the_engine_lacks_is_refused_by_name(running: RunningServer) -> None:
    status, error = await post(
        running, "/v1/chat/completions", {"model": "smollm2", "messages": MESSAGES, "temperature": 0.5}
    )
    assert (status, error["code"], error["param"]) == (400, "unsupported_parameter", "temperature")


async def test_a_parameter_that_nobody_knows_is_left_out_and_said(running: RunningServer) -> None:
    body = {"model": "smollm2", "messages": MESSAGES, "temprature": 1, "user": "me"}
    async with running.session.post(f"{running.base_url}/v1/chat/completions", json=body) as response:
        assert response.status == 200
        assert response.headers["x-berth-ignored-parameters"] == "temprature"


async def test_work_that_the_model_does_not_do_is_not_found(running: RunningServer) -> None:
    status, error = await post(running, "/v1/embeddings", {"model": "smollm2", "input": "x"})
    assert (status, error["code"]) == (404, "operation_not_supported")


async def test_other_dimensions_are_refused_and_its_own_accepted(running: RunningServer) -> None:
    status, error = await post(running, "/v1/embeddings", {"model": "minilm", "input": "x", "dimensions": 3})
    assert (status, error["param"]) == (400, "dimensions")
    status, _ = await post(running, "/v1/embeddings", {"model": "minilm", "input": "x", "dimensions": 4})
    assert status == 200


async def test_vectors_are_cut_where_the_engine_says_that_they_may_be(running: RunningServer) -> None:
    for asked in ({"dimensions": 2}, {"dimensions": 2, "encoding_format": "base64"}):
        status, answer = await post(running, "/v1/embeddings", {"model": "doll", "input": "abcd", **asked})
        assert status == 200
        assert answer["data"][0]["embedding"] in ([1, 0], "AACAPwAAAAA=")
    _, whole = await post(running, "/v1/embeddings", {"model": "doll", "input": "abcd", "dimensions": 4})
    assert whole["data"][0]["embedding"] == [4, 0, 0.5, -1]
    status, error = await post(running, "/v1/embeddings", {"model": "doll", "input": "abcd", "dimensions": 5})
    assert (status, error["code"], error["param"]) == (400, "invalid_value", "dimensions")


@pytest.mark.parametrize(
    ("method", "path", "why"),
    [
        ("GET", "/v1/responses/resp_1", "Answers are not kept here"),
        ("DELETE", "/v1/responses/resp_1", "Answers are not kept here"),
        ("POST", "/v1/conversations", "Conversations are not kept here"),
        ("POST", "/v1/messages/count_tokens", "Tokens are not counted beforehand"),
        ("POST", "/v1/messages/batches", "Batches are not served here"),
    ],
)
async def test_what_of_an_api_is_not_served_is_named(running: RunningServer, method: str, path: str, why: str) -> None:
    async with running.session.request(method, running.base_url + path, json={}) as response:
        assert response.status == 404
        assert why in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b"{", 400, None, "invalid_json"),
        ({"model": "smolm2"}, 404, "model", "model_not_found"),
        ({"model": "minilm", "input": "x"}, 404, "model", "operation_not_supported"),
        ({"input": "x", "max_output_tokens": 0}, 400, "max_output_tokens", "invalid_value"),
        ({"input": "x", "temperature": 1}, 400, "temperature", "unsupported_parameter"),
        ({"input": "x", "text": {"format": {"type": "json_object"}}}, 400, "text.format", "unsupported_parameter"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, 400, "input[0].content[0].type", None),
        ({"input": "fail_at=0 status=400"}, 400, None, "told_to_fail"),
    ],
)
async def test_a_wrong_responses_request_has_openais_form(
    running: RunningServer, body: Any, status: int, param: str | None, code: str | None
) -> None:
    asked = body if isinstance(body, bytes) else {"model": "smollm2", **body}
    got, error = await post(running, "/v1/responses", asked)
    assert (got, error["param"]) == (status, param)
    assert error["code"] == (code or "unsupported_content")


@pytest.mark.parametrize(
    ("body", "status", "kind", "words"),
    [
        (b"{", 400, "invalid_request_error", "not JSON"),
        ({"model": "smolm2"}, 404, "not_found_error", "Did you mean 'smollm2'"),
        ({"model": "minilm"}, 404, "not_found_error", "does not serve chat requests; it serves embedding"),
        ({"messages": MESSAGES}, 400, "invalid_request_error", "'max_tokens' is missing"),
        (
            {"messages": MESSAGES, "max_tokens": 5, "stop_sequences": ["a"]},
            400,
            "invalid_request_error",
            "'stop_sequences' is not supported by the engine of this model",
        ),
        (
            {"messages": [{"role": "user", "content": "fail_at=0 status=503"}], "max_tokens": 5},
            503,
            "overloaded_error",
            "fails as it was told",
        ),
        (
            {"messages": [{"role": "user", "content": "fail_at=0"}], "max_tokens": 5, "stream": True},
            500,
            "api_error",
            "fails as it was told",
        ),
    ],
)
async def test_a_wrong_messages_request_has_anthropics_form(
    running: RunningServer, body: Any, status: int, kind: str, words: str
) -> None:
    data = body if isinstance(body, bytes) else json.dumps({"model": "smollm2", **body}).encode()
    async with running.session.post(f"{running.base_url}/v1/messages", data=data) as response:
        answer = await response.json()
    assert response.status == status
    assert set(answer) == {"type", "error"}
    assert set(answer["error"]) == {"type", "message"}
    assert (answer["type"], answer["error"]["type"]) == ("error", kind)
    assert words in answer["error"]["message"]


async def test_another_apis_other_method_is_refused_in_its_form(running: RunningServer) -> None:
    async with running.session.get(f"{running.base_url}/v1/messages") as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_chats_in_other_words_are_counted_under_their_own_path(running: RunningServer) -> None:
    await post(running, "/v1/responses", {"model": "smollm2", "input": "words=1", "unheard_of": 1})
    async with running.session.get(f"{running.base_url}/metrics") as response:
        figures = await response.text()
    counted = [line for line in figures.splitlines() if 'endpoint="/v1/responses"' in line and 'code="200"' in line]
    assert counted
    assert all('model="smollm2"' in line for line in counted)


async def test_no_such_path_and_no_such_method(running: RunningServer) -> None:
    status, error = await post(running, "/v1/nothing", {})
    assert (status, error["code"]) == (404, "unknown_url")
    status, error = await post(running, "/v1/models", {})
    assert (status, error["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_cap_is_too_large(running: RunningServer, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b" " * (1024 * 1024)

    data: Any = pieces() if chunked else io.BytesIO(b" " * (33 * 1024 * 1024))
    async with running.session.post(f"{running.base_url}/v1/completions", data=data) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "request_too_large"


async def test_generate_says_text_finish_reason_and_usage(running: RunningServer) -> None:
    status, answer = await post(running, "/generate", {"model": "smollm2", "inputs": "words=2"})
    assert status == 200
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert answer == {"model": "smollm2", "text": "word0 word1 ", "finish_reason": "stop", "usage": usage}


async def test_embeddings_come_as_numbers_or_as_base64(running: RunningServer) -> None:
    _, plain = await post(running, "/embeddings", {"model": "minilm", "input": ["abc", "de"]})
    assert [row["embedding"] for row in plain["data"]] == [[3, 0, 0.5, -1], [2, 1, 0.5, -1]]
    assert plain["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    _, coded = await post(
        running, "/v1/embeddings", {"model": "minilm", "input": [[7, 8]], "encoding_format": "base64"}
    )
    assert coded["data"][0]["embedding"] == "AAAAQAAAAAAAAAA/AACAvw=="


async def test_metrics_count_requests_by_model_and_code(running: RunningServer) -> None:
    await post(running, "/v1/embeddings", {"model": "minilm", "input": "abc"})
    async with running.session.get(f"{running.base_url}/metrics") as response:
        text = await response.text()
    assert 'berth_requests_total{code="200",endpoint="/v1/embeddings",model="minilm"}' in text
    assert 'berth_model_state{model="smollm2",state="Ready"} 1.0' in text
    assert 'berth_requests_in_flight{model="smollm2"} 0.0' in text
    assert "nobody" not in text
