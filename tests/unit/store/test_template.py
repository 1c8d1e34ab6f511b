"""Templates that reach for Python are refused, real ones are not, and the user's own takes their place."""

from pathlib import Path

import chat_templates
import pytest
import tools
from folder_builders import write_files
from gguf_builders import llama_gguf
from hypothesis import given
from hypothesis import strategies as st
from safetensors_builders import safetensors

from berth_api.artifact import Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import detect, detect_bounded
from berth_store.detect.template import template_fault
from berth_store.headers.gguf import read_gguf

BAD = chat_templates.BAD["globals of a global"]


@pytest.mark.parametrize("kind", chat_templates.GOOD)
def test_what_real_templates_do_is_fine(kind: str) -> None:
    assert template_fault(chat_templates.GOOD[kind]) is None


@pytest.mark.parametrize("kind", chat_templates.BAD)
def test_what_leads_to_python_is_refused(kind: str) -> None:
    assert template_fault(chat_templates.BAD[kind])


@pytest.mark.parametrize("kind", chat_templates.BAD)
def test_it_is_found_in_the_middle_of_a_real_one_too(kind: str) -> None:
    good = chat_templates.GOOD["llama 3.1"]
    assert template_fault(good + chat_templates.BAD[kind] + good)


@pytest.mark.needs("smollm2")
def test_the_template_inside_real_weights_is_fine() -> None:
    weights = tools.find("smollm2")
    assert weights is not None
    template = read_gguf(weights).chat_template
    assert template
    assert template_fault(template) is None


@given(st.text("{}%#_'\"\\|.[]()ab x5f~", max_size=200))
def test_any_text_is_judged(text: str) -> None:
    template_fault(text)


def test_a_long_template_is_judged_quickly() -> None:
    assert template_fault("{{ 'x" * 100_000) is None
    assert template_fault("{{ '" + "\\x5f" * 100_000 + "' }}") is None
    assert template_fault("{% if a %}" * 100_000 + "{{ a.__class__ }}")


def folder_with(tmp_path: Path, where: str) -> Path:
    files = {
        "in its own file": {"model.safetensors": safetensors(), "chat_template.jinja": BAD},
        "in the tokenizer's settings": {
            "model.safetensors": safetensors(),
            "tokenizer_config.json": {"chat_template": BAD},
        },
        "among named ones": {
            "model.safetensors": safetensors(),
            "tokenizer_config.json": {"chat_template": [{"name": "default", "template": BAD}]},
        },
        "in the weights": {"model.gguf": llama_gguf(tokenizer__chat_template=BAD)},
        "beside the weights": {"model.gguf": llama_gguf(), "chat_template.jinja": BAD},
    }
    llama = {"config.json": {"architectures": ["LlamaForCausalLM"]}}
    return write_files(tmp_path, {**llama, **files[where]})


@pytest.mark.parametrize(
    "where",
    ["in its own file", "in the tokenizer's settings", "among named ones", "in the weights", "beside the weights"],
)
def test_detection_refuses_it_wherever_it_lies_unless_the_user_gives_another(tmp_path: Path, where: str) -> None:
    folder = folder_with(tmp_path, where)
    with pytest.raises(UnsupportedModel, match=r"uses `lipsum`.*set `spec\.chatTemplate`"):
        detect(folder)
    assert detect(folder, own_template=True).task is Task.CHAT


def test_a_good_template_beside_the_weights_takes_the_place_of_a_bad_one_inside(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"model.gguf": llama_gguf(tokenizer__chat_template=BAD), "chat_template.jinja": "{{ messages }}"}
    )
    assert detect(tmp_path).chat_template == "{{ messages }}"


def test_the_bounded_process_is_told_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(llama_gguf(tokenizer__chat_template=BAD))
    with pytest.raises(UnsupportedModel, match=r"the chat template of m\.gguf"):
        detect_bounded(path)
    assert detect_bounded(path, own_template=True).task is Task.CHAT
