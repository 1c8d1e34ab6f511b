"""How we reach the API server and who we are there: inside a pod by its service account, outside by a kubeconfig.

Files are read again each minute, because the kubelet and cloud tools replace them, and at once when the server refuses
what was read. `find_credentials` is called at start by whoever opens a connection; client.py asks before each request.
"""

import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from berth_api.errors import FieldError, InvalidSpec
from berth_kube.kubeconfig import read_kubeconfig
from berth_kube.login import Login

REREAD_SECONDS = 60.0
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Access:
    """What a request needs: the server's URL without a slash at the end, the token if any, and TLS (None: plain)."""

    server: str
    token: str = field(repr=False)
    tls: ssl.SSLContext | None
    server_name: str | None


class Credentials:
    """Credentials that stay fresh. `read` gives what the files hold now, or raises InvalidSpec."""

    def __init__(self, read: Callable[[], Login], *, now: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._now = now
        self._login: Login | None = None
        self._access: Access | None = None
        self._read_at = float("-inf")

    def access(self) -> Access:
        """The newest that is known; cheap. Raises InvalidSpec, which names file and field, where nothing is known."""
        if self._access is None or self._now() - self._read_at > REREAD_SECONDS:
            self._refresh()
        assert self._access is not None
        return self._access

    def forget(self) -> None:
        """The server refused what `access` gave: the next call reads the files, however young they are."""
        self._login, self._access = None, None

    def _refresh(self) -> None:
        try:
            login = self._read()
            if login != self._login:
                self._access = self._open(login)
        except InvalidSpec:
            # A file may be in the middle of being replaced. What is known is good until the server refuses it.
            if self._access is None:
                raise
            return
        self._login = login
        self._read_at = self._now()

    def _open(self, login: Login) -> Access:
        """A new token leaves the TLS context as it is, and so the open connections."""
        before, access = self._login, self._access
        if access is not None and before is not None and replace(before, token=login.token) == login:
            return replace(access, token=login.token)
        return Access(login.server, login.token, _tls(login), login.server_name or None)


def find_credentials(environ: Mapping[str, str]) -> Credentials:
    """The credentials that this environment means: `KUBECONFIG`, else the pod's own, else `~/.kube/config`.

    Nothing is read yet: the first `access` raises InvalidSpec where something is missing.
    """
    configured = tuple(Path(part) for part in environ.get("KUBECONFIG", "").split(":") if part)
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    if not configured and host:
        return Credentials(lambda: read_service_account(host, environ.get("KUBERNETES_SERVICE_PORT", "443")))
    home = Path(environ.get("HOME", "/")) / ".kube/config"
    return Credentials(lambda: read_kubeconfig(configured or (home,)))


def read_service_account(host: str, port: str, folder: Path = SERVICE_ACCOUNT) -> Login:
    """What the kubelet mounts into a pod. Raises InvalidSpec where a file is missing."""
    address = f"[{host}]" if ":" in host else host
    authority, token = _read(folder / "ca.crt"), _read(folder / "token").strip()
    return Login(f"https://{address}:{port}", token=token, authority=authority)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        remedy = "the pod needs `automountServiceAccountToken: true` and a service account"
        raise InvalidSpec(FieldError(str(path), f"it can't be read: {error}", remedy)) from error


def _tls(login: Login) -> ssl.SSLContext | None:
    if not login.server.startswith("https://"):
        return None
    try:
        context = ssl.create_default_context(cadata=login.authority or None)
        if not login.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if login.certificate:
            _load_chain(context, login)
    except (ssl.SSLError, ValueError) as error:
        message = f"certificate or key is damaged, or they don't belong together: {error}"
        raise InvalidSpec(FieldError(login.origin, message, "replace the certificates that it names")) from error
    return context


def _load_chain(context: ssl.SSLContext, login: Login) -> None:
    """Python's TLS takes certificates from files only; this one lives for as long as the call, readable by us alone."""
    with tempfile.NamedTemporaryFile("w", prefix="berth-", suffix=".pem") as file:
        file.write(f"{login.certificate}\n{login.key}\n")
        file.flush()
        context.load_cert_chain(file.name)
