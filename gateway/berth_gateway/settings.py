"""What the gateway is told from outside: where it listens, where its files are, its bounds."""

from dataclasses import dataclass
from pathlib import Path

from berth_api.errors import FieldError, InvalidSpec
from berth_api.openai_errors import MAX_BODY_BYTES

# A Unix socket's path has 108 bytes in the kernel, its end included.
LONGEST_SOCKET_PATH_BYTES = 100


@dataclass(frozen=True)
class GatewaySettings:
    """Settings of one gateway: one Envoy and the agent beside it.

    `run_dir` holds the sockets and the bootstrap file of this gateway alone. `host` and `port` are where clients
    connect. `workers` is Envoy's number of worker threads. `access_log` is a file that gets one JSON line for each
    request, and `/dev/stdout` works too; None writes nothing. `acknowledge_timeout_seconds` bounds how long
    `Agent.apply` waits for Envoy.
    """

    run_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    max_body_bytes: int = MAX_BODY_BYTES
    workers: int = 2
    access_log: str | None = None
    log_level: str = "warning"
    acknowledge_timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        longest = max(len(bytes(path)) for path in (self.xds_socket, self.agent_socket, self.admin_socket))
        if longest > LONGEST_SOCKET_PATH_BYTES:
            raise InvalidSpec(
                FieldError(
                    "run_dir",
                    f"is too long for a Unix socket: {self.run_dir}",
                    f"use a folder whose sockets stay within {LONGEST_SOCKET_PATH_BYTES} bytes",
                )
            )

    @property
    def xds_socket(self) -> Path:
        """Where Envoy asks the agent for its configuration."""
        return self.run_dir / "xds.sock"

    @property
    def agent_socket(self) -> Path:
        """Where Envoy sends the requests that the agent answers."""
        return self.run_dir / "agent.sock"

    @property
    def admin_socket(self) -> Path:
        """Envoy's administration: a Unix socket, so that nothing outside this machine reaches it."""
        return self.run_dir / "admin.sock"

    @property
    def bootstrap_file(self) -> Path:
        """The static part of Envoy's configuration, written by `Agent.start`."""
        return self.run_dir / "envoy.json"

    @property
    def last_state_file(self) -> Path:
        """What was served last, for a start without the API server; in clusters only."""
        return self.run_dir / "last-state.json"
