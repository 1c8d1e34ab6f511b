"""`python -m berth_runtime --model [NAME=]PATH …`: serve models over OpenAI's API. The options: `arguments.py`."""

import asyncio
import sys
from functools import partial
from pathlib import Path

from berth_api.artifact import EngineType
from berth_api.errors import Unavailable
from berth_runtime.arguments import parse_arguments
from berth_runtime.logs import set_up_logs
from berth_runtime.resolution import resolve_model, shares_of
from berth_runtime.server import CannotListen, serve
from berth_runtime.vllm.run import run_vllm
from berth_store.holds import Hold, join_hold


def main() -> None:
    """The server process; for vLLM, which has a server of its own, the process around that."""
    options = parse_arguments(sys.argv[1:])
    set_up_logs(requests=options.log_requests)
    # Kept until the process ends, however it does: the system closes them.
    _holds = [_join(file) for file in options.holds]
    if options.engine is EngineType.VLLM:
        sys.exit(run_vllm(options))
    shares = shares_of(options)
    resolvers = {model.name: partial(resolve_model, model, options, shares) for model in options.models}
    try:
        status = asyncio.run(serve(options, resolvers))
    except CannotListen as error:
        sys.exit(f"berth_runtime: {error}")
    sys.exit(status)


def _join(file: Path) -> Hold:
    try:
        return join_hold(file)
    except (Unavailable, OSError) as error:
        sys.exit(f"berth_runtime: {error}")


if __name__ == "__main__":
    main()
