"""Taking this gateway out of service without an error for any client. Envoy's preStop hook asks for it (agent_port.py).

The kubelet waits for the hook's answer as long as the pod's grace period lasts, and only then ends Envoy, which cuts
what is still open. So the answer is what keeps the streams: it comes when the last of them has ended.
"""

import asyncio
import logging
from dataclasses import dataclass

from berth_api.errors import Unavailable
from berth_gateway.envoy_admin import EnvoyAdmin

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Patience:
    """How long a drain lasts.

    At least `least_seconds`, in which nodes and load balancers learn that this pod leaves; then until nothing was in
    flight for `quiet_seconds`; at most `most_seconds`.
    """

    most_seconds: float
    least_seconds: float = 5.0
    quiet_seconds: float = 1.0


async def drain(admin: EnvoyAdmin, patience: Patience) -> bool:
    """Have Envoy turn clients away and finish what it has. False where something was still open at the end.

    Asked again it does the same again: hooks may be called twice.
    """
    loop = asyncio.get_running_loop()
    began, quiet_since = loop.time(), None
    try:
        await admin.fail_health_check()
        while loop.time() - began < patience.most_seconds:
            busy, now = await admin.active_requests(), loop.time()
            # From when it was seen first: of the time between two looks nobody knows, and on a busy machine it is long.
            quiet_since = None if busy else quiet_since or now
            if quiet_since and now - began >= patience.least_seconds and now - quiet_since >= patience.quiet_seconds:
                return True
            await asyncio.sleep(POLL_SECONDS)
        left = await admin.active_requests()
    except Unavailable as error:
        _log.info("there is no Envoy to drain: %s", error)
        return True
    if left:
        _log.warning("requests were still in flight at the end of the drain", extra={"requests": left})
    return left == 0
