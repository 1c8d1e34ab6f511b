"""Process 1 of a group's head: waits for its members, then starts vLLM's server, and ends when one of them is gone.

vLLM does not: its head answers probes with 200 while each request waits for a member for ever.
"""

import asyncio

from berth_api.errors import Unavailable
from berth_runtime.vllm.assembly import Assembly
from berth_runtime.vllm.ending import Signals, report_leaving, wait_first
from berth_runtime.vllm.preparation import Preparation
from berth_runtime.vllm.supervisor import Supervisor, start


async def run_head(preparation: Preparation, signals: Signals, revision: str) -> int:
    """One group from its first member to its end; the exit status. The kubelet starts the next one.

    Raises `BerthError` where it can't be started.
    """
    options = preparation.options
    supervisor = Supervisor(options.drain_timeout_seconds, signals)

    def leave() -> None:
        report_leaving()
        signals.told.set()

    assembly = Assembly(options.group_size, revision, on_lost=supervisor.lose, on_leaving=leave)
    try:
        await assembly.listen(options.group_port)
    except OSError as error:
        raise Unavailable(
            f"members can't be waited for at port {options.group_port}: {error.strerror}; end what has the port, or "
            "choose another by --group-port"
        ) from error
    try:
        whole = asyncio.create_task(assembly.wait_whole())
        await wait_first(whole, signals.told)
        if not whole.done():
            whole.cancel()
            return 0
        place = whole.result()
        words = preparation.words(place)
        vllm = await start(words, options, preparation.task, supervisor, address=place.address)
        await supervisor.watch(vllm)
    finally:
        # Before vLLM ends: its end may take the members' parts along, and by then they are to know why.
        await assembly.close()
    return await supervisor.stop(vllm)
