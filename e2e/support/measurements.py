"""What the scenarios measured on their way, kept as JSON for `python -m bench cluster`."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "build/e2e/measurements.json"


def record(**measured: Any) -> None:
    """Add to what is known; what was measured before under the same name is replaced."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps({**recorded(), **measured}, indent=1) + "\n")


def recorded() -> dict[str, Any]:
    """All that was measured; empty where no scenario has run."""
    known: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return known
