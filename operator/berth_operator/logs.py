"""Logs as JSON, one line for each event, on stderr. Set up once, by `__main__`."""

import logging
import sys

from berth_api.json_logs import JsonFormatter


def set_up_logs(level: str) -> None:
    """Everything from `level` on, without what libraries say of each event and each request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # kopf has a line for each event at INFO, and its own sentences about errors that our supervision reports as well.
    logging.getLogger("kopf").setLevel(logging.WARNING)
