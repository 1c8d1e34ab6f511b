"""`python -m berth_runtime --model [NAME=]PATH …`: serve models over OpenAI's API. The options: `arguments.py`."""

import asyncio
import sys
from functools import partial

from berth_runtime.arguments import parse_arguments
from berth_runtime.logs import set_up_logs
from berth_runtime.resolution import resolve_model
from berth_runtime.server import CannotListen, serve


def main() -> None:
    """The server process."""
    options = parse_arguments(sys.argv[1:])
    set_up_logs(requests=options.log_requests)
    resolvers = {model.name: partial(resolve_model, model, options) for model in options.models}
    try:
        status = asyncio.run(serve(options, resolvers))
    except CannotListen as error:
        sys.exit(f"berth_runtime: {error}")
    sys.exit(status)


if __name__ == "__main__":
    main()
