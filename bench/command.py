"""Run one command to its end, and say how long it took and the most memory that it held."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.load import BadAnswer
from bench.result import Sample

KIB_OF_MIB = 1024
TAIL_BYTES = 600
CERTIFICATES = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
MEASURED = Path(__file__).with_name("measured.py")


def run_command(argv: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> Sample:
    """Seconds of the wall clock, and the peak resident memory in MiB of the largest process in it.

    Raises BadAnswer with its last words if it fails. Programs in Python keep their compiled modules, as they do where
    they are installed: the first run, which nobody counts, compiles them. Nobody speaks TLS here, so a bundle of
    certificates that this machine wants to be read is left out, which takes 20 ms and more of each start.
    """
    held = log.with_suffix(".kib")
    started = time.monotonic()
    with log.open("wb") as output:
        done = subprocess.run(
            (sys.executable, "-I", "-S", str(MEASURED), str(held), *argv),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**_without_certificates(), "PYTHONDONTWRITEBYTECODE": "", **(environment or {})},
            check=False,
        )
    seconds = time.monotonic() - started
    if done.returncode != 0:
        words = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        raise BadAnswer(f"{argv[0]} ended with {done.returncode}: {words}")
    return {"seconds": seconds, "resident_mebibytes": int(held.read_text()) / KIB_OF_MIB}


def _without_certificates() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name not in CERTIFICATES}


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The words that run a module by this interpreter."""
    return (sys.executable, "-m", name, *arguments)
