"""What an instance is told from outside. Made by `berth up`."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

# Who listens everywhere is asked at home.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True)
class UpSettings:
    """Where an instance lives and listens."""

    home: Path
    host: str
    port: int
    version: str

    @property
    def address(self) -> str:
        """The address that clients on this machine use."""
        host = _LOCAL.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of these settings."""
        if ipaddress.ip_address(self.host).is_loopback:
            return ()
        return (f"everyone who reaches {self.host}:{self.port} can use the models: there are no keys yet",)
