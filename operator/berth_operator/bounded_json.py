"""JSON of strangers: termination messages, which pods may fill with anything, and what is kept of them."""

import json
from collections.abc import Mapping
from typing import Any, Final

_LONGEST: Final = 32_768
"""A termination message has 4 KiB; written again as JSON it can become six times that, where all of it is escaped."""


def read_json_object(text: str) -> Mapping[str, Any]:
    """The object in a text; empty where there is none, or one that is too long or holds what is no Unicode."""
    if len(text) > _LONGEST:
        return {}
    try:
        found = json.loads(text)
        # Half a character would come back from the API server as another one, and be written again for ever.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
