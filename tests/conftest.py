"""Rules for every test: a missing tool skips with its reason, or fails where BERTH_REQUIRE names the tool."""

import signal

import pytest
import tools
from hypothesis import HealthCheck, settings

# A shell that starts us in the background has us ignore Ctrl-C, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about what else the machine does than about the code. Where BERTH_REQUIRE is set,
# as in CI, each run tries the same examples; elsewhere each run tries others.
settings.register_profile(
    "berth",
    deadline=None,
    derandomize=bool(tools.required()),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("berth")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if tools.find(name) is None:
                refuse = pytest.fail if name in tools.required() else pytest.skip
                refuse(tools.why_missing(name))
