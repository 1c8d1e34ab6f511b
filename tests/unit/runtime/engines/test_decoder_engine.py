"""The engine for graphs that write text, on one of a few thousand weights: what it loads, proves, answers, refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import tokenizers
from recorded_reply import RecordedReply
from tiny_decoder import CONTEXT, VOCABULARY, TinyWeights, write_tiny_decoder

from berth_api.artifact import Task
from berth_runtime.engines.onnxruntime import create
from berth_runtime.engines.protocol import (
    Capabilities,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    Engine,
    EngineSettings,
    LoadFailed,
    Operation,
    Usage,
)
from berth_store.detect import detect

TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}"
PROMPT = "w3 w14 w15"


def a_tokenizer() -> str:
    """A word for each token; the first is what the engine proves itself by."""
    vocabulary = {f"w{number}" if number else "a": number for number in range(VOCABULARY)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return str(tokenizer.to_str())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    folder = write_tiny_decoder(tmp_path_factory.mktemp("tiny"), TinyWeights(), tokenizer=a_tokenizer())
    model = replace(detect(folder), chat_template=TEMPLATE)
    return EngineSettings(
        model=model, name="tiny", task=Task.CHAT, threads=1, memory_bytes=1 << 30, parallel_sequences=2
    )


def loaded(settings: EngineSettings) -> tuple[Engine, Capabilities]:
    engine = create(settings)
    capabilities = engine.load()
    engine.prove()
    return engine, capabilities


@pytest.fixture(scope="module")
def engine(settings: EngineSettings) -> Engine:
    return loaded(settings)[0]


def completed(engine: Engine, prompt: Any = PROMPT, *, stream: bool = False, **more: Any) -> RecordedReply:
    body = {"model": "tiny", "prompt": prompt, "max_tokens": 4, "temperature": 0, **more}
    reply = RecordedReply()
    engine.submit(CompletionRequest(orjson.dumps(body), stream=stream), reply)
    return reply.wait()


def chatted(engine: Engine, *contents: str, **more: Any) -> RecordedReply:
    messages = [{"role": "user", "content": content} for content in contents]
    body = {"model": "tiny", "messages": messages, "max_tokens": 4, "temperature": 0, **more}
    reply = RecordedReply()
    engine.submit(ChatRequest(orjson.dumps(body), stream=False), reply)
    return reply.wait()


def likeliest(tokens: list[int], count: int) -> list[int]:
    """What numpy would write."""
    weights, text = TinyWeights(), list(tokens)
    for _ in range(count):
        text.append(int(np.argmax(weights.logits(text)[-1])))
    return text[len(tokens) :]


def words(tokens: list[int]) -> str:
    return " ".join(f"w{token}" for token in tokens)


def test_it_writes_what_numpy_would(engine: Engine) -> None:
    reply = completed(engine, ignore_eos=True)
    (answer,) = map(orjson.loads, reply.chunks)
    assert answer["choices"][0]["text"].split() == words(likeliest([3, 14, 15], 4)).split()
    assert reply.usage == Usage(3, 4)


def test_a_chat_goes_on_from_what_its_template_writes(engine: Engine) -> None:
    plain, chat = (orjson.loads(each.chunks[0]) for each in (completed(engine), chatted(engine, "w3", "w14", "w15")))
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": plain["choices"][0]["text"]}
    assert chat["usage"] == plain["usage"]


def test_token_ids_are_a_prompt_too(engine: Engine) -> None:
    texts = [orjson.loads(completed(engine, prompt).chunks[0])["choices"] for prompt in (PROMPT, [3, 14, 15])]
    assert texts[0] == texts[1]
    both = orjson.loads(completed(engine, [[3, 14, 15], [7]]).chunks[0])
    assert [choice["index"] for choice in both["choices"]] == [0, 1]
    assert both["usage"]["prompt_tokens"] == 4


def test_a_stream_ends_with_its_reason_and_then_its_usage(engine: Engine) -> None:
    reply = completed(engine, stream=True, ignore_eos=True, stream_options={"include_usage": True})
    *events, ending, usage = map(orjson.loads, reply.chunks)
    assert [each["choices"][0]["finish_reason"] for each in (*events, ending)] == [*[None] * 4, "length"]
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 7)


def test_a_text_ends_with_its_room(engine: Engine) -> None:
    reply = completed(engine, [5] * (CONTEXT - 2), max_tokens=50, ignore_eos=True)
    assert reply.usage == Usage(CONTEXT - 2, 2)
    assert orjson.loads(reply.chunks[0])["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ({"prompt": [5] * CONTEXT}, "context_length_exceeded", None),
        ({"prompt": "w1 " * 10_000}, "context_length_exceeded", "prompt"),
        ({"prompt": "   "}, "invalid_value", "prompt"),
        ({"prompt": "unheard-of"}, "invalid_value", "prompt"),
        ({"prompt": [VOCABULARY]}, "invalid_value", "prompt"),
        ({"logit_bias": {str(VOCABULARY): 1}}, "invalid_value", "logit_bias"),
    ],
)
def test_what_can_not_be_written_says_why(engine: Engine, asked: Any, code: str, param: str | None) -> None:
    failure = completed(engine, **asked).refused()
    assert (failure.status, failure.code, failure.param) == (400, code, param)


def test_a_client_that_left_costs_nothing(engine: Engine) -> None:
    reply = RecordedReply()
    reply.gone = True
    body = orjson.dumps({"model": "tiny", "prompt": PROMPT})
    engine.submit(CompletionRequest(body, stream=False), reply)
    assert (reply.wait().usage, reply.chunks) == (Usage(0), [])


def test_other_work_is_refused(engine: Engine) -> None:
    reply = RecordedReply()
    engine.submit(EmbeddingRequest(("a",)), reply)
    assert reply.refused().code == "unsupported_operation"


def test_without_a_template_there_are_no_chats(settings: EngineSettings) -> None:
    silent = replace(settings, model=replace(settings.model, chat_template=None), task=Task.COMPLETION)
    _, capabilities = loaded(silent)
    assert set(capabilities.parameters) == {Operation.COMPLETION}
    assert (capabilities.parallel_requests, capabilities.context_length) == (2, CONTEXT)
    with pytest.raises(LoadFailed, match="no chat template; give one by --chat-template"):
        create(replace(silent, task=Task.CHAT)).load()


def test_a_template_that_fails_is_known_before_a_client_asks(settings: EngineSettings) -> None:
    broken = replace(settings, model=replace(settings.model, chat_template="{{ raise_exception('never') }}"))
    with pytest.raises(LoadFailed, match="gave no answer: The model's chat template refuses these messages: never"):
        loaded(broken)


def test_a_tokenizer_that_is_none_is_known_at_once(settings: EngineSettings, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    model = replace(settings.model, tokenizer=tmp_path / "tokenizer.json")
    with pytest.raises(LoadFailed, match=r"tokenizer\.json can't be read: .*; export the tokenizer again"):
        create(replace(settings, model=model)).load()
