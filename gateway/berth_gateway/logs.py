"""Logs as JSON, one line for each event, on stderr. Set up once, by `__main__`."""

import logging
import sys

from berth_api.json_logs import JsonFormatter


def set_up_logs(level: str) -> None:
    """Everything from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
