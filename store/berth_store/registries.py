"""How registries and other sources are reached: which in plain HTTP, with what credentials, how much at once.

A caller makes one `RegistryConfig`, usually `from_environment()`, and hands it to `pull` and `push`.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from berth_store.retry import RetryPolicy
from berth_store.sources.access import SourceAccess

ENV_INSECURE = "BERTH_INSECURE_REGISTRIES"
MIB = 1024 * 1024
FIRST_CONTACT_ATTEMPTS = 3


@dataclass(frozen=True)
class RegistryConfig:
    """Settings for talking to registries.

    `insecure` lists `host` or `host:port` that may be asked in plain HTTP, as every loopback address may.
    `docker_config` is the file with registries' credentials (it need not exist), `access` those of other sources.
    `connections` bounds the requests for blobs that run at once, over all blobs together. A connection that delivers
    next to nothing in `stall_timeout_seconds` is given up.
    """

    insecure: frozenset[str] = frozenset()
    docker_config: Path | None = None
    access: SourceAccess = field(default_factory=SourceAccess)
    connections: int = 8
    chunk_bytes: int = 32 * MIB
    connect_timeout_seconds: float = 10.0
    stall_timeout_seconds: float = 30.0
    helper_timeout_seconds: float = 20.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """As the user's environment says: `BERTH_INSECURE_REGISTRIES`, `DOCKER_CONFIG`, and see `sources.access`."""
        folder = environ.get("DOCKER_CONFIG")
        listed = (name.strip().lower() for name in environ.get(ENV_INSECURE, "").split(","))
        return cls(
            insecure=frozenset(filter(None, listed)),
            docker_config=(Path(folder).expanduser() if folder else Path.home() / ".docker") / "config.json",
            access=SourceAccess.from_environment(environ),
        )

    @property
    def first_contact(self) -> RetryPolicy:
        """For what comes before any transfer: a host that is misspelt or down is told within seconds."""
        return replace(self.retry, attempts=min(FIRST_CONTACT_ATTEMPTS, self.retry.attempts))

    def allows_plain_http(self, host: str, port: int | None) -> bool:
        """Whether this registry may be spoken to without TLS."""
        return is_loopback(host) or host in self.insecure or f"{host}:{port}" in self.insecure


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
