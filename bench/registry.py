"""The registry that pulls are measured from: the one that `make tools` builds, or docker-registry of the system."""

import json
import shutil
from pathlib import Path

BUILT = Path(__file__).resolve().parents[1] / ".tools/bin/registry"


def find_registry() -> Path | None:
    """The program, if there is one."""
    found = shutil.which("docker-registry")
    return BUILT if BUILT.exists() else Path(found) if found else None


def registry_command(program: Path, folder: Path, port: int) -> tuple[str, ...]:
    """What starts it on 127.0.0.1:`port`, with its data in `folder`."""
    config = folder / "registry.json"
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    settings = {"version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}}, "storage": storage}
    config.write_text(json.dumps({**settings, "http": {"addr": f"127.0.0.1:{port}"}}))
    return (str(program), "serve", str(config))
