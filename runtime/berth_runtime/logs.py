"""Logs as JSON, one line for each event, on stderr. Set up once, by `berth_runtime.server`."""

import logging
import sys

from berth_api.json_logs import JsonFormatter


def set_up_logs(*, requests: bool) -> None:
    """Everything from INFO on; requests only if they were asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    logging.getLogger("berth_runtime.routes.frame").setLevel(logging.DEBUG if requests else logging.INFO)
