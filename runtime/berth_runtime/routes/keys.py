"""Under which keys the application holds what its handlers need, and a request what was learnt of it."""

from typing import Final

from aiohttp import web

from berth_runtime.catalog import Catalog
from berth_runtime.drain import Drain
from berth_runtime.metrics import Metrics

CATALOG: Final = web.AppKey("catalog", Catalog)
METRICS: Final = web.AppKey("metrics", Metrics)
DRAIN: Final = web.AppKey("drain", Drain)

# The model's name, once it is known to exist: labels of metrics must not be what strangers write.
MODEL: Final = web.RequestKey("model", str)
STARTED: Final = web.RequestKey("started", float)
IGNORED: Final = web.RequestKey("ignored", tuple[str, ...])
