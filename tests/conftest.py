"""Rules for every test: a missing tool skips with its reason, or fails where BERTH_REQUIRE names the tool."""

import pytest
import tools


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if tools.find(name) is None:
                refuse = pytest.fail if name in tools.required() else pytest.skip
                refuse(tools.why_missing(name))
