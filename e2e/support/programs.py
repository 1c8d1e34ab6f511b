"""`kubectl`, `helm` and `berth` as a user runs them, with what they said when they fail."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60.0


@dataclass(frozen=True)
class Finished:
    """A program that ended."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    def checked(self) -> "Finished":
        """Itself if it ended well; otherwise an AssertionError with everything that it said."""
        if self.code:
            raise AssertionError(f"`{' '.join(self.words)}` ended with {self.code}:\n{self.out}\n{self.err}")
        return self


def run(
    *words: str, stdin: str | None = None, seconds: float = SECONDS, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run a program to its end; one that does not end in time is killed and an AssertionError says so."""
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=seconds, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"`{' '.join(words)}` did not end within {seconds:.0f} s:\n{error.stdout!r}") from error
    return Finished(words, done.returncode, done.stdout, done.stderr)


def kubectl(*words: str, stdin: str | None = None, seconds: float = SECONDS) -> str:
    """What `kubectl WORDS…` prints; raises AssertionError where it fails."""
    return run("kubectl", *words, stdin=stdin, seconds=seconds).checked().out


def helm(*words: str, seconds: float = 180.0) -> str:
    """What `helm WORDS…` prints; raises AssertionError where it fails."""
    return run("helm", *words, seconds=seconds).checked().out


def berth(*words: str, environment: Mapping[str, str], seconds: float = 120.0) -> str:
    """What `berth WORDS…` of this environment prints; raises AssertionError where it fails."""
    return run(sys.executable, "-m", "berth_cli", *words, seconds=seconds, environment=environment).checked().out


def berth_environment(home: Path, registry: str) -> dict[str, str]:
    """For `berth` with a store of its own, and a registry that it may speak plain HTTP with."""
    return {**os.environ, "BERTH_HOME": str(home), "BERTH_INSECURE_REGISTRIES": registry}
