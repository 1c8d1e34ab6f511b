"""What an instance is told from outside. Made by `berth up`."""

from dataclasses import dataclass
from pathlib import Path


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
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - a comparison
        return f"http://{host}:{self.port}"
