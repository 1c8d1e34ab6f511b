"""Names of children, labels, and what clients send."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.names import CHILD_NAME_MAX, NameSent, child_name, gateway_address, model_labels, parse_client_name

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?", fullmatch=True)
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def test_a_short_child_name_says_what_it_is() -> None:
    assert child_name("qwen3-8b", "resolver") == "qwen3-8b-resolver"
    assert child_name("qwen3-8b") == "qwen3-8b"


@given(owner=NAMES, suffixes=st.lists(NAMES, max_size=3))
def test_a_child_name_is_a_dns_label(owner: str, suffixes: list[str]) -> None:
    name = child_name(owner, *suffixes)
    assert len(name) <= CHILD_NAME_MAX
    assert DNS_LABEL.fullmatch(name)


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = {child_name("a" * 50, "b" * 20 + letter) for letter in "abcdefgh"}
    assert len(names) == 8


def test_the_labels_of_a_model_select_its_engine_pods() -> None:
    assert model_labels("qwen") == {
        "app.kubernetes.io/name": "berth",
        "app.kubernetes.io/component": "engine",
        "app.kubernetes.io/managed-by": "berth",
        "berth.dev/model": "qwen",
    }


def test_the_address_of_the_gateway_is_an_openai_base_url() -> None:
    assert gateway_address("berth-system") == "http://berth-gateway.berth-system/v1"


@pytest.mark.parametrize(
    ("sent", "means"),
    [
        ("qwen2.5", NameSent("qwen2.5")),
        ("team-a/qwen", NameSent("qwen", namespace="team-a")),
        ("qwen:sql", NameSent("qwen", adapter="sql")),
        ("team-a/qwen:sql", NameSent("qwen", namespace="team-a", adapter="sql")),
        ("a/b/c", NameSent("b/c", namespace="a")),
        ("", NameSent("")),
        ("qwen:", NameSent("qwen")),
    ],
)
def test_a_name_that_a_client_sends_is_taken_apart(sent: str, means: NameSent) -> None:
    assert parse_client_name(sent) == means


@given(sent=st.text())
def test_any_text_has_a_reading(sent: str) -> None:
    assert isinstance(parse_client_name(sent), NameSent)
