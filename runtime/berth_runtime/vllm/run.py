"""`run_vllm`, which `berth_runtime.__main__` calls: a vLLM alone, the head of a group, or a member of one."""

import asyncio
import logging
import os
import tempfile
from pathlib import Path

from berth_api.errors import BerthError
from berth_api.launch import GROUP_REVISION_VARIABLE
from berth_runtime.arguments import Options
from berth_runtime.vllm.ending import STATUS_FAILED, Signals
from berth_runtime.vllm.head import run_head
from berth_runtime.vllm.member import run_member
from berth_runtime.vllm.preparation import prepare
from berth_runtime.vllm.supervisor import run_alone
from berth_store.termination import DEFAULT_LOG, write_termination

log = logging.getLogger(__name__)


def run_vllm(options: Options) -> int:
    """The process; its exit status."""
    try:
        return asyncio.run(supervise(options))
    except BerthError as error:
        write_termination(DEFAULT_LOG, str(error).encode())
        log.error("vLLM can't be started", extra={"reason": str(error)})
        return STATUS_FAILED


async def supervise(options: Options) -> int:
    """Start vLLM, watch over it, end it; the exit status. Raises `BerthError` where it can't be started."""
    signals = Signals()
    signals.listen()
    revision = os.environ.get(GROUP_REVISION_VARIABLE, "")
    with tempfile.TemporaryDirectory(prefix="berth-vllm-") as folder:
        preparation = await prepare(options, Path(folder))
        if options.head is not None:
            return await run_member(preparation, signals, revision)
        if options.group_size > 1:
            return await run_head(preparation, signals, revision)
        return await run_alone(preparation, signals)
