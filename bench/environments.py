"""Environments of peers whose packages could not stand beside ours, from locked versions.

`make bench-runtime` makes them in .tools/bench, one for each lock in bench/peers/requirements.
"""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOCKS = REPOSITORY / "bench/peers/requirements"
INSTALLED = REPOSITORY / ".tools/bench"


class NotInstalled(RuntimeError):  # noqa: N818 - reads as what is wrong
    """A peer's environment is not there; the message says what makes it."""


def find_python(peer: str, installed: Path = INSTALLED) -> Path:
    """The interpreter of a peer's environment; raises `NotInstalled`."""
    if not (installed / peer / "installed").exists():
        raise NotInstalled(f"the environment of {peer} was not found (run `make bench-runtime`)")
    return installed / peer / "bin/python"


def locked_versions(peer: str, packages: tuple[str, ...]) -> dict[str, str]:
    """What the peer's lock says of these packages."""
    return versions_in((LOCKS / f"{peer}.txt").read_text(), packages)


def versions_in(lock: str, packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of these packages in the text of a lock, by the names that are asked for; pure."""
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))
    return {name: pinned[name] for name in packages if name in pinned}
