"""`python -m berth_operator --config FILE`: the operator, until a signal ends it.

Status 0 after SIGTERM or Ctrl-C, 1 after an accident, 2 where settings or credentials are wrong.
"""

import argparse
import asyncio
import logging
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp

from berth_api.errors import BerthError, InvalidSpec
from berth_kube.client import connect
from berth_kube.credentials import Credentials, find_credentials
from berth_operator.ask import GATEWAY_ANSWER_MAX_BYTES, HttpAsker
from berth_operator.drift import needs_apply
from berth_operator.intake import spawn_intake
from berth_operator.leadership import lease_times
from berth_operator.logs import set_up_logs
from berth_operator.planner import SettingsPlanner
from berth_operator.process import Operator
from berth_operator.settings import OperatorSettings, read_settings

STATUS_ACCIDENT: Final = 1
STATUS_WRONG: Final = 2

log = logging.getLogger(__name__)


def main() -> None:
    """Read what we are told, and serve."""
    parser = argparse.ArgumentParser(prog="berth_operator", description="Carries out Models and ModelRoutes.")
    parser.add_argument("--config", type=Path, required=True, help="the YAML file with the operator's settings")
    options = parser.parse_args()
    try:
        settings = read_settings(options.config)
        lease_times(settings.lease)
        credentials = find_credentials(os.environ)
        credentials.access()
    except InvalidSpec as error:
        print(error, file=sys.stderr)  # noqa: T201 - logs are not set up without settings
        sys.exit(STATUS_WRONG)
    set_up_logs(settings.log_level)
    asyncio.run(serve(settings, credentials, os.environ.get("POD_NAME") or socket.gethostname()))


async def serve(settings: OperatorSettings, credentials: Credentials, name: str) -> None:
    """Serve to the end of the process, which does not wait for kopf: its tasks may hang for ever."""
    async with (
        connect(credentials, user_agent="berth-operator") as cluster,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        operator = Operator(
            cluster,
            settings,
            name=name,
            planner=SettingsPlanner(settings),
            needs_apply=needs_apply,
            ask=HttpAsker(session),
            ask_gateway=HttpAsker(session, most_bytes=GATEWAY_ANSWER_MAX_BYTES),
        )
        intake = partial(spawn_intake, credentials, settings.watch_namespaces)
        status = STATUS_ACCIDENT
        try:
            status = await operator.run(lambda put, drop: intake(put=put, drop=drop))
        except BerthError as error:
            log.critical("can't start", extra={"why": str(error)})
            status = STATUS_WRONG
        except Exception:  # the outermost loop; whatever is a bug ends the process, and the next one lists anew
            log.exception("bug")
        finally:
            logging.shutdown()
            os._exit(status)


if __name__ == "__main__":
    main()
