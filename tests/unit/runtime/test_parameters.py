"""Which fields a request may have: each known field with what it takes, what is refused by name, what is left out."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from berth_runtime.engines.protocol import Capabilities, Operation
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.parameters import CHAT, COMPLETION, EMBEDDING, FORMS, read_parameters

EVERYTHING = Capabilities(
    parameters={operation: frozenset(form.fields) for operation, form in FORMS.items()}, parallel_requests=4
)
NOTHING = Capabilities(parameters=dict.fromkeys(Operation, frozenset[str]()), parallel_requests=4)

RIGHT: dict[str, list[Any]] = {
    "temperature": [0, 2, 0.7],
    "top_p": [1, 0.5],
    "n": [1, 4],
    "seed": [-1, 0, 2**40],
    "stop": ["x", ["x", "y"]],
    "max_tokens": [1, 100_000],
    "ignore_eos": [True, False],
    "logit_bias": [{}, {"50256": -100, "7": 1.5}],
    "response_format": [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    ],
    "tools": [[], [{"type": "function", "function": {"name": "f"}}]],
    "tool_choice": ["none", "auto", "required", {"type": "function", "function": {"name": "f"}}],
    "chat_template_kwargs": [{"enable_thinking": False}],
}
WRONG: dict[str, list[Any]] = {
    "temperature": ["hot", -0.1, 2.1, True, [], {}],
    "top_p": [1.1, "1"],
    "n": [0, 1.5, "2", True, -1],
    "seed": [1.5, "x", False],
    "stop": [5, [""], [1], ["x"] * 17],
    "max_tokens": [0, -1, 1.0, "5"],
    "logprobs": [1, "yes"],
    "top_logprobs": [21, -1, True],
    "logit_bias": [{"a": 1}, {"7": 101}, {"7": "x"}, []],
    "response_format": [
        "json",
        {},
        {"type": "xml"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {}},
    ],
    "tools": [{}, ["f"], [{"type": "function"}], [{"type": "function", "function": {}}]],
    "tool_choice": ["always", {"function": 5}, 3, []],
    "ignore_eos": [1, "yes"],
    "stream": [1, "true"],
    "stream_options": [[], {"include_usage": "yes"}],
}


def read(operation: Operation = Operation.CHAT, capabilities: Capabilities = EVERYTHING, **body: Any) -> Any:
    subject = dict.fromkeys(FORMS[operation].subject, "x")
    return read_parameters({"model": "m", **subject, **body}, operation, capabilities)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in RIGHT.items() for value in values])
def test_right_values_are_given_to_the_engine(name: str, value: Any) -> None:
    assert read(**{name: value}).given == {name: value}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_wrong_values_are_refused_with_the_fields_name(name: str, value: Any) -> None:
    with pytest.raises(ApiError) as refused:
        read(**{name: value})
    failure = refused.value.failure
    assert (failure.status, failure.code, failure.param) == (400, "invalid_value", name)
    assert CHAT[name].expects in failure.message


@pytest.mark.parametrize("name", [*CHAT])
def test_null_is_the_same_as_nothing(name: str) -> None:
    body: dict[str, Any] = {name: None}
    assert read(**body).given == {}


@pytest.mark.parametrize(
    ("operation", "name"), [(operation, name) for operation, form in FORMS.items() for name in form.fields]
)
def test_what_the_engine_lacks_is_refused_unless_it_asks_for_nothing(operation: Operation, name: str) -> None:
    field = FORMS[operation].fields[name]
    for neutral in field.neutral:
        if neutral is not None:
            assert read(operation, NOTHING, **{name: neutral}).given == {}
    if field.inert:
        assert read(operation, NOTHING, **{name: "anything"}).given == {}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.CHAT, {"temperature": 1}),
        (Operation.CHAT, {"n": 2}),
        (Operation.CHAT, {"functions": [{"name": "f"}]}),
        (Operation.CHAT, {"tool_choice": "required"}),
        (Operation.COMPLETION, {"echo": True}),
        (Operation.COMPLETION, {"best_of": 3}),
        (Operation.EMBEDDING, {"dimensions": 5}),
        (Operation.RERANK, {"max_tokens_per_doc": 100}),
        (Operation.RERANK, {"rank_fields": ["title"]}),
        (Operation.CLASSIFICATION, {"use_activation": False}),
    ],
)
def test_what_the_engine_lacks_is_refused_by_name(operation: Operation, body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        read(operation, NOTHING, **body)
    assert refused.value.failure.code == "unsupported_parameter"
    assert refused.value.failure.param == next(iter(body))


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.EMBEDDING, {"encoding_format": "base64"}),
        (Operation.RERANK, {"top_n": 3, "return_documents": True}),
        (Operation.IMAGE_CLASSIFICATION, {"top_k": 2}),
        (Operation.OBJECT_DETECTION, {"threshold": 0.5}),
    ],
)
def test_what_this_process_does_itself_no_engine_has_to_name(operation: Operation, body: dict[str, Any]) -> None:
    assert read(operation, NOTHING, **body).given == body


@pytest.mark.parametrize("capabilities", [EVERYTHING, NOTHING])
def test_a_top_n_of_none_means_all_as_with_vllm(capabilities: Capabilities) -> None:
    assert read(Operation.RERANK, capabilities, top_n=0).given == {}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.RERANK, {"top_n": -1}),
        (Operation.RERANK, {"top_n": True}),
        (Operation.RERANK, {"return_documents": "yes"}),
        (Operation.IMAGE_CLASSIFICATION, {"top_k": 0}),
        (Operation.OBJECT_DETECTION, {"threshold": 1.5}),
    ],
)
def test_wrong_values_of_other_work_are_refused_too(operation: Operation, body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        read(operation, NOTHING, **body)
    assert (refused.value.failure.code, refused.value.failure.param) == ("invalid_value", next(iter(body)))


def test_cohere_and_vllm_defaults_ask_for_nothing() -> None:
    defaults = {"max_tokens_per_doc": 4096, "rank_fields": ["text"], "priority": 0, "use_activation": True}
    parameters = read(Operation.RERANK, NOTHING, **defaults)
    assert (parameters.given, parameters.ignored) == ({}, ())


@pytest.mark.parametrize("name", [name for name, values in RIGHT.items() if name in CHAT])
def test_the_schema_of_a_field_takes_what_the_field_takes(name: str) -> None:
    schema = Draft202012Validator(dict(CHAT[name].schema))
    assert all(schema.is_valid(value) for value in RIGHT[name])


def test_what_nobody_knows_is_left_out_and_named() -> None:
    parameters = read(temprature=1, id_slot=3, top_p=0.5)
    assert parameters.given == {"top_p": 0.5}
    assert parameters.ignored == ("temprature", "id_slot")


def test_some_fields_need_another_one() -> None:
    for body, param in (({"top_logprobs": 2}, "top_logprobs"), ({"stream_options": {}}, "stream_options")):
        with pytest.raises(ApiError) as refused:
            read(**body)
        assert refused.value.failure.param == param
    assert read(top_logprobs=2, logprobs=True).given
    assert read(top_logprobs=0).given == {}
    assert read(top_logprobs=0, logprobs=True).given == {"top_logprobs": 0, "logprobs": True}


@pytest.mark.parametrize("capabilities", [EVERYTHING, NOTHING])
@pytest.mark.parametrize("stop", ["", []])
def test_nothing_to_stop_at_is_the_same_as_no_field(capabilities: Capabilities, stop: Any) -> None:
    assert read(Operation.CHAT, capabilities, stop=stop).given == {}


@pytest.mark.parametrize("name", ["store", "metadata", "prediction", "verbosity"])
def test_what_changes_no_answer_is_taken_and_dropped(name: str) -> None:
    parameters = read(Operation.CHAT, NOTHING, **{name: {"any": "thing"}})
    assert (parameters.given, parameters.ignored) == ({}, ())


def test_more_choices_than_places_are_refused() -> None:
    with pytest.raises(ApiError) as refused:
        read(n=5)
    assert refused.value.failure.param == "n"


def test_the_tables_know_every_name_of_openais_own_client() -> None:
    from openai.types import CompletionCreateParams, EmbeddingCreateParams
    from openai.types.chat import completion_create_params as chat

    for fields, params, subjects in (
        (CHAT, chat.CompletionCreateParamsStreaming, {"messages", "model"}),
        (COMPLETION, CompletionCreateParams.__args__[0], {"prompt", "model"}),  # type: ignore[attr-defined]
        (EMBEDDING, EmbeddingCreateParams, {"input", "model"}),
    ):
        names = {name for base in params.__mro__ for name in getattr(base, "__annotations__", {})}
        assert names - subjects - set(fields) == set()
