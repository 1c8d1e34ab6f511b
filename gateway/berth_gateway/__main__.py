"""`python -m berth_gateway --namespace NS --run-dir DIR …`: the gateway's agent in a cluster. See arguments.py."""

import asyncio
import os
import sys
from importlib.metadata import version

from berth_api.errors import InvalidSpec
from berth_gateway.arguments import Options, parse_arguments
from berth_gateway.cluster import serve
from berth_gateway.logs import set_up_logs
from berth_kube.client import connect
from berth_kube.credentials import find_credentials


def main() -> None:
    """The agent's process."""
    options = parse_arguments(sys.argv[1:])
    set_up_logs(options.log_level)
    try:
        sys.exit(asyncio.run(_serve(options)))
    except (InvalidSpec, OSError) as error:
        sys.exit(f"berth_gateway: {error}")


async def _serve(options: Options) -> int:
    async with connect(find_credentials(os.environ), user_agent=f"berth-gateway/{version('berth')}") as cluster:
        return await serve(options, cluster)


if __name__ == "__main__":
    main()
