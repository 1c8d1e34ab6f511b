"""Messages become the text that transformers would make of them, in a sandbox."""

from typing import Any

import pytest
from chat_templates import GOOD

from berth_runtime.engines.decoder_template import ChatTemplate, TemplateRefused, TooLong
from berth_runtime.engines.protocol import LoadFailed

USER = {"role": "user", "content": "Hi"}


def rendered(text: str, *messages: dict[str, Any], **more: Any) -> str:
    template = ChatTemplate(text, bos="<s>", eos="</s>")
    return template.render(messages or (USER,), more, most=10_000)


def test_a_chat_is_written_down_as_its_model_was_trained() -> None:
    assert rendered(GOOD["smollm2"]) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_template_has_the_marks_and_what_the_request_gives_it() -> None:
    assert rendered("{{ bos_token }}{{ eos_token }}{{ mood }}", mood="calm") == "<s></s>calm"
    assert rendered("{{ bos_token }}", bos_token="other") == "<s>"


def test_blocks_leave_no_line_behind() -> None:
    assert rendered("{% if true %}\na\n  {% endif %}\nb") == "a\nb"


def test_it_has_the_functions_of_transformers() -> None:
    assert rendered("{{ messages[0] | tojson }}") == '{"role": "user", "content": "Hi"}'
    assert rendered("{{ {'a': '<é>'} | tojson(indent=1) }}") == '{\n "a": "<é>"\n}'
    assert len(rendered("{{ strftime_now('%Y') }}")) == 4
    assert rendered("{% for x in [1, 2] %}{{ x }}{% break %}{% endfor %}") == "1"
    assert rendered("{% generation %}{{ messages[0].content }}{% endgeneration %}") == "Hi"


def test_parts_become_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert rendered("{{ messages[0].content }}", {"role": "user", "content": parts}) == "a\nb"


@pytest.mark.parametrize(("more", "role"), [("", "system"), ("{# developer #}", "developer")])
def test_a_developer_speaks_as_the_system_where_the_template_has_no_developer(more: str, role: str) -> None:
    assert rendered("{{ messages[0].role }}" + more, {"role": "developer", "content": "x"}) == role


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ raise_exception('roles have to alternate') }}", "roles have to alternate"),
        ("{{ messages[0].content + 1 }}", "can only concatenate str"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ nothing.of.this }}", "'nothing' is undefined"),
        ("{% set _ = messages.append(1) %}", "unsafe"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.clear.__globals__ }}", "unsafe"),
        ("{% for a in range(1000000) %}x{% endfor %}", "Range too big"),
    ],
)
def test_what_a_template_does_not_take_or_may_not_do_is_said(text: str, says: str) -> None:
    with pytest.raises(TemplateRefused, match=says):
        rendered(text)


def test_a_template_without_end_is_stopped_at_the_bound() -> None:
    with pytest.raises(TooLong):
        rendered("{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}")


@pytest.mark.parametrize("text", ["{{", "{% for %}", "{% break %}"])
def test_what_is_no_template_is_known_when_the_model_is_loaded(text: str) -> None:
    with pytest.raises(LoadFailed, match=r"The chat template can't be used .*--chat-template"):
        ChatTemplate(text)


@pytest.mark.parametrize("name", GOOD)
def test_the_templates_of_the_families_are_read(name: str) -> None:
    """Some are the inside of a loop."""
    ChatTemplate("{% for m in messages %}" + GOOD[name] + "{% endfor %}")
