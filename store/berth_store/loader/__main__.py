"""`python -m berth_store.loader --source URI --into /models`: ends with 0 when the model lies there.

Otherwise it ends with 1 and, as termination message, `{"reason": "SourceNotFound", "message": "…"}`.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial

from berth_api.errors import BerthError
from berth_store.digest import Digest, parse_digest
from berth_store.loader.arguments import Options, parse_arguments
from berth_store.loader.board import Board
from berth_store.loader.load import load
from berth_store.loader.logs import set_up_logs
from berth_store.loader.server import serving
from berth_store.loader.shared import Tenant, load_shared
from berth_store.registries import RegistryConfig
from berth_store.signals import end_at_once_on_signals
from berth_store.sources.address import source_name
from berth_store.termination import reason_of, render_failure, write_termination

log = logging.getLogger("berth_store.loader")


def main() -> int:
    """Load, and tell how it ended; the exit status."""
    options = parse_arguments(sys.argv[1:])
    end_at_once_on_signals()
    set_up_logs()
    try:
        asyncio.run(run(options))
    except (BerthError, OSError) as error:
        reason = reason_of(error)
        log.error("failed", extra={"reason": reason, "detail": str(error)})
        write_termination(options.termination_log, render_failure(reason, str(error)))
        return 1
    return 0


async def run(options: Options) -> None:
    """Load while progress is served. Raises `BerthError`."""
    board = Board(time.monotonic)
    async with serving(board, options.progress_port) as port:
        log.info("listening", extra={"port": port})
        try:
            digest = await choose_load(options)(
                source_name(options.source, options.digest, options.files, options.revision, options.trust),
                options.into,
                board,
                registries=RegistryConfig.from_environment(),
                patience_seconds=options.patience_seconds,
                clock=time.monotonic,
                demand=options.demand,
            )
        except BerthError as error:
            board.fail(str(error))
            raise
        log.info("done", extra={"digest": digest, "into": str(options.into)})


def choose_load(options: Options) -> Callable[..., Awaitable[Digest]]:
    """How it is loaded: alone in the folder, or beside other Models."""
    if not options.shared_by:
        return partial(load, link=options.link)
    pin = parse_digest(options.digest or "", path="--digest")
    tenant = Tenant(options.shared_by, pin, options.quota_bytes)
    return partial(load_shared, tenant=tenant)


if __name__ == "__main__":
    sys.exit(main())
