"""The two tables of manifests, `tests/unit/api/{good,bad}_manifests.yaml`, for every test that replays them."""

from typing import Any

import yaml
from model_builders import a_manifest
from tools import REPOSITORY

_FOLDER = REPOSITORY / "tests/unit/api"
Entry = dict[str, Any]
GOOD: list[Entry] = yaml.safe_load((_FOLDER / "good_manifests.yaml").read_text(encoding="utf-8"))
BAD: list[Entry] = yaml.safe_load((_FOLDER / "bad_manifests.yaml").read_text(encoding="utf-8"))


def document(entry: Entry) -> Any:
    """The whole manifest that an entry of the two tables stands for."""
    if "document" in entry:
        return entry["document"]
    if "model" in entry:
        return a_manifest("Model", "m", spec={"source": {"uri": "oci://r/m"}, **entry["model"]})
    rule = {"backends": [{"backendRef": {"name": "qwen"}}], **entry.get("rule", {})}
    return a_manifest("ModelRoute", "m", spec={"names": ["chat"], "rules": [rule], **entry.get("route", {})})
