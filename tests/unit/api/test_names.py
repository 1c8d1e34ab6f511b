"""Names of children, labels, and what clients send."""

import re

from hypothesis import given
from hypothesis import strategies as st

from berth_api.names import CHILD_NAME_MAX, address_of, child_name, gateway_address, model_labels

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


def test_an_adapter_is_asked_for_beside_its_model() -> None:
    assert address_of("team-a/qwen") == "team-a/qwen"
    assert address_of("team-a/qwen", "sql") == "team-a/qwen:sql"
