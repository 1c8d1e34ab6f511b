"""JSON of strangers: termination messages, which pods of any content may write."""

import json
from collections.abc import Mapping
from typing import Any, Final

_LONGEST: Final = 8192
"""Twice what the kubelet keeps of a termination message."""


def read_json_object(text: str) -> Mapping[str, Any]:
    """The object in a text; empty where there is none, or where the text is longer than any message can be."""
    if len(text) > _LONGEST:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
