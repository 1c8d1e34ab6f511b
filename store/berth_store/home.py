"""Where Berth keeps its files on this machine: `$BERTH_HOME`, else `~/.berth`."""

import os
from collections.abc import Mapping
from pathlib import Path


def default_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for the store, the run directory and the logs; nothing is created here."""
    chosen = environ.get("BERTH_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".berth"


def default_store(environ: Mapping[str, str] = os.environ) -> Path:
    """The root of the default store."""
    return default_home(environ) / "store"
