"""What the gateway is told, and where Envoy is found."""

from pathlib import Path

import pytest

from berth_api.errors import InvalidSpec
from berth_gateway.bootstrap import render_bootstrap
from berth_gateway.settings import GatewaySettings


def test_a_folder_too_deep_for_a_socket_is_refused_before_anything_starts() -> None:
    with pytest.raises(InvalidSpec, match="too long for a Unix socket"):
        GatewaySettings(Path("/tmp") / ("x" * 100))


def test_the_administration_is_no_network_port() -> None:
    settings = GatewaySettings(Path("/run/berth"))
    assert render_bootstrap(settings)["admin"]["address"] == {"pipe": {"path": "/run/berth/admin.sock"}}


def test_no_access_log_is_written_unless_asked_for() -> None:
    def logs(settings: GatewaySettings) -> list[object]:
        (listener,) = render_bootstrap(settings)["static_resources"]["listeners"]
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        log: list[object] = manager["access_log"]
        return log

    assert logs(GatewaySettings(Path("/run/berth"))) == []
    assert len(logs(GatewaySettings(Path("/run/berth"), access_log="/dev/stdout"))) == 1
