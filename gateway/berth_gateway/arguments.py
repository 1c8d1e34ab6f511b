"""The command line of `python -m berth_gateway`, parsed into `Options`. The chart writes it."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from berth_api.errors import InvalidSpec
from berth_gateway.settings import GatewaySettings

_LEVELS = ("debug", "info", "warning", "error")

_EPILOG = """
Envoy is started by somebody else, with the file envoy.json in the run folder, as the same user; it may start before or
after the agent. The agent's own port answers /health/live, /health/ready, /metrics and /programmed; /drain is for the
preStop hook of Envoy's container and answers when Envoy has nothing left to do.
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The whole command line. No `watch_namespaces` means all of them, and so does no `bare_names`."""

    settings: GatewaySettings
    namespace: str
    agent_port: int
    watch_namespaces: tuple[str, ...] = ()
    bare_names: tuple[str, ...] = ()
    drain_timeout_seconds: float = 120.0
    log_level: str = "info"


def parse_arguments(argv: Sequence[str]) -> Options:
    """The options; ends the process with status 2 and a sentence where they can't be."""
    parser = _build_parser()
    given = parser.parse_args(argv)
    if given.port == given.agent_port:
        parser.error(f"--port and --agent-port are both {given.port}; Envoy and the agent need a port each")
    try:
        settings = GatewaySettings(given.run_dir, host=given.host, port=given.port, access_log=given.access_log)
    except InvalidSpec as error:
        parser.error(str(error))
    return Options(
        settings=settings,
        namespace=given.namespace,
        agent_port=given.agent_port,
        watch_namespaces=tuple(dict.fromkeys(given.watch_namespace)),
        bare_names=tuple(dict.fromkeys(given.bare_names)),
        drain_timeout_seconds=given.drain_timeout,
        log_level=given.log_level,
    )


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m berth_gateway",
        description="Keep the Envoy of this pod to the Models and ModelRoutes of the cluster.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--namespace", required=True, metavar="NS", help="the namespace that Berth is installed in")
    add("--run-dir", type=Path, required=True, metavar="DIR", help="the folder shared with Envoy; not on a network")
    add("--host", default="0.0.0.0", help="the address Envoy listens on (default: all of IPv4; `::` adds IPv6)")  # noqa: S104
    add("--port", type=_port, default=8080, help="the port for clients (default: 8080)")
    add("--agent-port", type=_port, default=8081, help="the agent's own port (default: 8081)")
    add(
        "--watch-namespace",
        action="append",
        default=[],
        metavar="NS",
        help="a namespace to serve Models of; may be repeated (default: every one)",
    )
    add(
        "--bare-names",
        action="extend",
        nargs="+",
        default=[],
        metavar="NS",
        help="the namespaces whose Models and ModelRoutes may own names without `NS/` (default: every one)",
    )
    add(
        "--drain-timeout",
        type=_seconds,
        default=120.0,
        metavar="SECONDS",
        help="time for running requests when the pod ends (default: 120); its grace period must be longer",
    )
    add("--access-log", metavar="FILE", help="one JSON line for each request, without its content; /dev/stdout works")
    add("--log-level", choices=_LEVELS, default="info", help="what the agent logs (default: info)")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; ports are 1 to 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait; give seconds above 0 and at most 86400")
    return seconds
