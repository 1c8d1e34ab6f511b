"""A peer's environment is found with its versions, or what makes it is said."""

from pathlib import Path

import pytest
from bench.environments import LOCKS, NotInstalled, find_python, locked_versions, versions_in

LOCK = """\
numpy==2.3.5 ; python_full_version < '3.13'
# a comment
torch==2.13.0
"""


def test_the_versions_of_a_lock_are_read_without_their_conditions() -> None:
    assert versions_in(LOCK, ("torch", "numpy", "scipy")) == {"torch": "2.13.0", "numpy": "2.3.5"}


@pytest.mark.parametrize("lock", sorted(path.stem for path in LOCKS.glob("*.in")))
def test_each_peer_has_a_lock_with_what_is_asked_for(lock: str) -> None:
    asked = [line.partition("==")[0] for line in (LOCKS / f"{lock}.in").read_text().splitlines() if "==" in line]
    names = tuple(name.partition("[")[0] for name in asked)
    assert tuple(locked_versions(lock, names)) == names


def test_a_peer_that_was_not_installed_is_told_of_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=r"infinity was not found \(run `make bench-runtime`\)"):
        find_python("infinity", tmp_path)


def test_a_peer_whose_installation_ended_is_found(tmp_path: Path) -> None:
    (tmp_path / "infinity").mkdir()
    (tmp_path / "infinity/installed").touch()
    assert find_python("infinity", tmp_path) == tmp_path / "infinity/bin/python"
