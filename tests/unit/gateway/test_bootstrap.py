"""The static part of Envoy's configuration, where it depends on settings."""

from pathlib import Path
from typing import Any

from berth_gateway.bootstrap import render_bootstrap
from berth_gateway.settings import GatewaySettings


def listener(**settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = render_bootstrap(GatewaySettings(Path("/run/berth"), **settings))["static_resources"][
        "listeners"
    ][0]
    return found


def manager(**settings: Any) -> dict[str, Any]:
    config: dict[str, Any] = listener(**settings)["filter_chains"][0]["filters"][0]["typed_config"]
    return config


def test_the_wildcard_of_both_families_takes_both() -> None:
    assert listener(host="::")["address"]["socket_address"]["ipv4_compat"] is True
    assert "ipv4_compat" not in listener(host="0.0.0.0")["address"]["socket_address"]


def test_readiness_goes_through_the_routes_and_fails_with_envoys_health() -> None:
    first = manager()["http_filters"][0]
    assert first["name"] == "health"
    assert first["typed_config"]["pass_through_mode"] is True
    assert first["typed_config"]["headers"] == [{"name": ":path", "string_match": {"exact": "/health/ready"}}]


def test_the_kubelets_questions_leave_no_line_in_the_log() -> None:
    (log,) = manager(access_log="/dev/stdout")["access_log"]
    assert log["filter"] == {"not_health_check_filter": {}}
    assert manager()["access_log"] == []
