"""Pulls, views, detects and resolves one artifact, and prints what came of it and the memory that it took.

python hostile_child.py STORE SCRATCH REFERENCE
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

from berth_api.errors import BerthError
from berth_store.detect import detect_bounded
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.resolver.resolve import resolve
from berth_store.retry import RetryPolicy

CONFIG = RegistryConfig(stall_timeout_seconds=5, retry=RetryPolicy(attempts=2, first_delay_seconds=0.001))


async def main(store: Store, scratch: Path, reference: Reference) -> dict[str, object]:
    """Both ways, one after the other."""
    told: dict[str, object] = {}
    try:
        digest = await pull(store, reference, registries=CONFIG)
        told["pulled"] = detect_bounded(store.view(digest)).format
    except BerthError as error:
        told["pulled"] = str(error)
    try:
        found = await resolve(reference, registries=CONFIG, scratch=scratch)
        told["resolved"] = found.artifact.format
    except BerthError as error:
        told["resolved"] = str(error)
    mine, children = (resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # The kernel counts what a process was forked from into `ru_maxrss`, which here is a whole test run.
    told["rss"] = _highest_rss_bytes()
    told["child_rss"] = children.ru_maxrss * 1024
    told["seconds"] = sum(usage.ru_utime + usage.ru_stime for usage in (mine, children))
    return told


def _highest_rss_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    given = (Store(Path(sys.argv[1])), Path(sys.argv[2]), Reference.parse(sys.argv[3]))
    print(json.dumps(asyncio.run(main(*given))))
