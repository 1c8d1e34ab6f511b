"""Which EndpointSlices count for a Model, and which endpoints in them."""

import pytest
from model_slices import ENDED, READY, TERMINATING, UNREADY, a_slice, an_endpoint

from berth_api.names import child_name
from berth_gateway.slices import endpoints_by_model, trim_slice
from berth_gateway.snapshot import Endpoint


def endpoints(*slices: dict[str, object], model: str = "default/qwen") -> tuple[Endpoint, ...]:
    found = endpoints_by_model(slices)
    assert found == endpoints_by_model([trim_slice(one) for one in slices]), "trimming loses nothing that is needed"
    return found.get(model, ())


def test_a_ready_engine_is_an_endpoint_at_the_services_port() -> None:
    assert endpoints(a_slice("qwen", an_endpoint("10.0.0.1"), port=8000)) == (Endpoint("10.0.0.1", 8000),)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (READY, False),
        (TERMINATING, True),
        (UNREADY, None),
        (ENDED, None),
        ({}, False),
        ({"ready": None, "serving": None, "terminating": None}, False),
        ({"ready": True}, False),
        ({"ready": False}, None),
        ({"ready": True, "serving": False, "terminating": False}, None),
        ({"ready": False, "terminating": True}, None),
        ({"ready": None, "terminating": True}, True),
    ],
    ids=str,
)
def test_an_engine_takes_requests_finishes_them_or_is_none(
    conditions: dict[str, bool | None], expected: bool | None
) -> None:
    """`expected` is whether it drains; None where it is no endpoint."""
    found = endpoints(a_slice("qwen", an_endpoint("10.0.0.1", conditions)))
    assert [endpoint.draining for endpoint in found] == ([] if expected is None else [expected])


def test_the_slices_of_one_service_are_taken_together_in_one_order() -> None:
    first, second = (
        a_slice("qwen", an_endpoint("10.0.0.2"), name="b"),
        a_slice("qwen", an_endpoint("10.0.0.1"), name="a"),
    )
    assert [endpoint.host for endpoint in endpoints(first, second)] == ["10.0.0.1", "10.0.0.2"]
    assert endpoints(first, second) == endpoints(second, first)


def test_an_engine_with_both_families_is_one_endpoint() -> None:
    four = a_slice("qwen", an_endpoint("10.0.0.1", pod="a"), name="z-four")
    six = a_slice("qwen", an_endpoint("fd00::1", pod="a"), an_endpoint("fd00::2", pod="b"), family="IPv6", name="a-six")
    assert [endpoint.host for endpoint in endpoints(six, four)] == ["10.0.0.1", "fd00::2"]


def test_an_engine_that_moves_between_slices_is_one_endpoint() -> None:
    assert (
        len(
            endpoints(
                a_slice("qwen", an_endpoint("10.0.0.1"), name="a"), a_slice("qwen", an_endpoint("10.0.0.1"), name="b")
            )
        )
        == 1
    )


def test_a_model_with_a_long_name_has_a_service_with_a_hashed_one() -> None:
    long = "m" * 60
    assert child_name(long, "engine") != f"{long}-engine"
    assert endpoints(a_slice(long), model=f"default/{long}")


FOREIGN = {
    "made by hand": a_slice(managed_by="somebody"),
    "of another Service with the Model's label": a_slice(service="elsewhere"),
    "of another Model's Service": a_slice("qwen", service=child_name("llama", "engine")),
    "of names instead of addresses": a_slice(family="FQDN"),
    "without a port": a_slice(ports=[]),
    "with several ports of other names": a_slice(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}]),
    "with every port": a_slice(ports=[{"name": "http", "port": None}]),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_a_slice_that_kubernetes_did_not_make_for_the_models_service_leads_nowhere(foreign: dict[str, object]) -> None:
    assert endpoints_by_model([foreign]) == {} or endpoints(foreign) == ()


@pytest.mark.parametrize(
    "owners", [[], [{"kind": "Pod", "name": "qwen-engine"}], [{"kind": "Service", "name": "other"}]]
)
def test_a_slice_that_the_models_service_does_not_own_leads_nowhere(owners: list[dict[str, str]]) -> None:
    foreign = a_slice("qwen")
    foreign["metadata"]["ownerReferences"] = owners
    assert endpoints_by_model([foreign]) == {}


def test_a_slice_serves_the_model_of_its_own_namespace_alone() -> None:
    assert set(endpoints_by_model([a_slice("qwen", namespace="other")])) == {"other/qwen"}


def test_the_port_is_the_one_called_http_or_the_only_one() -> None:
    assert endpoints(a_slice(ports=[{"name": "metrics", "port": 1}, {"name": "http", "port": 8000}]))[0].port == 8000
    assert endpoints(a_slice(ports=[{"name": "", "port": 9000}]))[0].port == 9000


def test_trimming_drops_most_of_a_slice() -> None:
    whole = a_slice("qwen", *(an_endpoint(f"10.0.0.{number}") for number in range(100)))
    assert len(str(trim_slice(whole))) < 0.75 * len(str(whole))
