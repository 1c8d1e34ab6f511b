"""Whatever is sent, it is refused by a sentence that names a field, or it is a chat that can be written down."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_runtime.dialects import messages, responses
from berth_runtime.dialects.table import DIALECTS
from berth_runtime.dialects.translation import Translate
from berth_runtime.engines.protocol import Capabilities, Operation
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.parameters import CHAT, read_parameters
from berth_runtime.openai.prompts import read_messages

Json = dict[str, Any]
CAPABILITIES = Capabilities(parameters={Operation.CHAT: frozenset(CHAT)}, parallel_requests=4, pictures=True)
WORDS = st.sampled_from(
    [
        *("type", "role", "content", "text", "name", "user", "assistant", "system", "message", "input_text"),
        *("input_image", "function", "function_call", "function_call_output", "call_id", "arguments", "output"),
        *("tool_use", "tool_result", "image", "source", "base64", "media_type", "image/png", "data", "url", "id"),
        *("input", "tool_use_id", "thinking", "auto", "any", "tool", "json_schema", "schema", "format", "enabled"),
        *("effort", "none", "input_schema", ""),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False) | WORDS | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=12
)
FIELDS = {
    "/v1/responses": ["input", *responses.FIELDS, "unheard_of"],
    "/v1/messages": ["messages", "system", *messages.FIELDS, "unheard_of"],
}
LEAST = {
    "/v1/responses": {"input": "x"},
    "/v1/messages": {"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]},
}


@pytest.mark.parametrize("path", DIALECTS)
@settings(max_examples=80)
@given(data=st.data())
def test_any_json_is_refused_or_a_chat(path: str, data: st.DataObject) -> None:
    names = st.sampled_from(FIELDS[path])
    body = data.draw(st.dictionaries(names, VALUES, max_size=4))
    body = {**LEAST[path], **body} if data.draw(st.booleans()) else body
    check(DIALECTS[path], body)


def check(translate: Translate, body: Json) -> None:
    try:
        translation = translate(body)
    except ApiError as error:
        assert_names_a_field(error)
        return
    try:
        read = read_messages(translation.chat["messages"], pictures=True)
        read_parameters(translation.chat, Operation.CHAT, CAPABILITIES)
    except ApiError as error:
        assert_names_a_field(translation.names.blame_error(error))
        return
    assert all(isinstance(message["content"], str | list) for message in read)
    orjson.dumps(translation.chat)


def assert_names_a_field(error: ApiError) -> None:
    failure = error.failure
    assert failure.status == 400
    assert failure.param
    assert f"'{failure.param}'" in failure.message
    assert failure.message.endswith(".")


DEEP: Any = 1
for _ in range(400):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "x", "text": {"format": {"type": "text", "x": DEEP}}}),
        ("/v1/responses", {"input": "x", "tools": [{"type": "function", "name": "f", "x": DEEP}]}),
        (
            "/v1/messages",
            {
                "max_tokens": 1,
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"x": DEEP}}],
                    }
                ],
            },
        ),
    ],
)
def test_what_is_nested_too_deeply_is_refused(path: str, body: Json) -> None:
    with pytest.raises(ApiError) as error:
        DIALECTS[path](body)
    assert error.value.failure.code == "invalid_json"
