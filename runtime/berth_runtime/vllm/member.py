"""Process 1 of a group's member: joins the head, starts its part of vLLM, and joins anew when the head is gone.

SIGTERM: the head is told, which takes nothing new from then on and ends when what runs has ended; until then this part
computes on. A member that has no part yet ends at once.
"""

import asyncio
import logging
import os
from typing import Final

from berth_runtime.vllm.arguments import build_environment
from berth_runtime.vllm.ending import Signals, report_failure, wait_first
from berth_runtime.vllm.preparation import Preparation, cores_of_vllm
from berth_runtime.vllm.process import VllmProcess, spawn
from berth_runtime.vllm.supervisor import CUT_SECONDS
from berth_runtime.vllm.tether import Tether, join
from berth_runtime.vllm.words import explain_end

MARGIN_SECONDS: Final = CUT_SECONDS + 1.0
"""How much longer than its drain time a head may take to let go."""
SUSPECT_SECONDS: Final = 3.0
"""How long a part that ended waits to learn that the head has: it ends with the head's, often before that is known."""

log = logging.getLogger(__name__)


async def run_member(preparation: Preparation, signals: Signals, revision: str) -> int:
    """Be of one group after the other; the exit status."""
    while True:
        tether = await _join(preparation, signals, revision)
        if tether is None:
            return 0
        status = await _take_part(preparation, signals, tether)
        if status is not None:
            return status
        log.warning("the head is gone; joining anew", extra={"head": preparation.options.head})


async def _join(preparation: Preparation, signals: Signals, revision: str) -> Tether | None:
    """The tether to a whole group; None where this process has to end."""
    options = preparation.options
    assert options.head is not None
    joining = asyncio.create_task(join(options.head, options.group_port, revision))
    await wait_first(joining, signals.told)
    if joining.done() and not signals.told.is_set():
        return joining.result()
    joining.cancel()
    return None


async def _take_part(preparation: Preparation, signals: Signals, tether: Tether) -> int | None:
    """Compute in one group until its end; the exit status, None where there may be another group."""
    vllm = await _start(preparation, tether)
    end, broken = asyncio.create_task(vllm.wait()), asyncio.create_task(tether.wait())
    await wait_first(end, broken, signals.told)
    if signals.told.is_set():
        tether.say_leaving()
        await wait_first(end, broken, seconds=preparation.options.drain_timeout_seconds + MARGIN_SECONDS)
    elif end.done():
        await wait_first(broken, signals.told, seconds=SUSPECT_SECONDS)
    is_head_gone = broken.done()
    status = await vllm.stop()
    broken.cancel()
    tether.close()
    if signals.told.is_set():
        return 0
    return None if is_head_gone else report_failure(status, explain_end(status, vllm.said, has_served=False))


async def _start(preparation: Preparation, tether: Tether) -> VllmProcess:
    environment = build_environment(os.environ, cores=cores_of_vllm(), address=tether.address)
    log.info("the group is whole", extra={"rank": tether.place.rank, "head": tether.place.address})
    return VllmProcess(*await spawn(preparation.words(tether.place), environment))
