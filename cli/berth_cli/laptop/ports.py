"""Ports of this machine: a free one for an engine, and who holds the one that the gateway wants."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from berth_api.errors import BerthError, FieldError, InvalidSpec

_LISTEN = "0A"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now. If another program is quicker, the engine ends and is started anew."""
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def ensure_free(host: str, port: int) -> None:
    """Raises `BerthError` if the gateway can't listen there, with who holds the port if the system tells."""
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise InvalidSpec(
            FieldError("--host", f"{host!r} is no address of this machine", "give one such as 127.0.0.1")
        ) from error
    # Without SO_REUSEPORT, which Envoy sets: two gateways would share a port and each get half of the requests.
    with socket.socket(address[0], socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address[4])
            probe.listen(1)
        except OSError as error:
            raise BerthError(_refusal(host, port, error)) from error


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = who_listens(port)
        held = f"{holder} listens there" if holder else "another program listens there"
        return f"port {port} of {host} is taken: {held}.\nStop it, or choose another port: berth up --port {port + 1} …"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} needs root.\nChoose one from 1024 on: berth up --port 8080 …"
    return f"can't listen on {host}:{port}: {error.strerror}.\nGive an address of this machine: --host 127.0.0.1"


def who_listens(port: int, proc: Path = Path("/proc")) -> str | None:
    """`NAME (process PID)` of the program that listens on `port`; None where the system doesn't tell."""
    inodes = set(_listening_inodes(port, proc))
    links = {f"socket:[{inode}]" for inode in inodes}
    for folder in sorted(proc.glob("[0-9]*")) if links else ():
        with suppress(OSError):
            if any(os.readlink(fd) in links for fd in (folder / "fd").iterdir()):
                name = (folder / "comm").read_text().strip()
                return f"{name} (process {folder.name})"
    return None


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
