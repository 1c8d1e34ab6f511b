"""Reading kubeconfig files: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/.

Several files count as one, in which the first that has a name wins; relative paths start at the file that has them.
What we can't carry out is refused by name rather than passed over: whoever sets it counts on it.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from berth_api.errors import FieldError, InvalidSpec
from berth_kube.login import Login

_REFUSED_USER = {
    "exec": "programs that fetch credentials are not run",
    "auth-provider": "Kubernetes itself has no such providers any more",
    "username": "Kubernetes takes no passwords any more",
    "as": "impersonation is not supported",
}
_REFUSED_CLUSTER = {"proxy-url": "proxies on the way to the API server are not supported"}
_USE_A_TOKEN = "give a token (`kubectl create token NAME`) or a client certificate"  # noqa: S105 - a sentence


@dataclass(frozen=True)
class _Entry:
    """One named part of one file: its own fields, and how errors call it."""

    file: Path
    path: str
    fields: Mapping[str, Any]

    def error(self, name: str, message: str, remedy: str) -> InvalidSpec:
        return InvalidSpec(FieldError(f"{self.file}: {self.path}.{name}", message, remedy))

    def text(self, name: str) -> str:
        """A field's text, empty where it is not set."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(name, "this is no text", "put it in quotes")
        return value

    def content(self, name: str, *, data: str) -> str:
        """The text of a file that `name` points at, or that stands in the field `data` in base64, which goes first."""
        if inline := self.text(data):
            try:
                return base64.b64decode(inline, validate=True).decode("ascii")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise self.error(
                    data, f"this is no PEM text in base64: {error}", "write it with `base64 -w0`"
                ) from None
        return self.file_content(name)

    def file_content(self, name: str) -> str:
        """The text of the file that `name` points at; empty where it is not set."""
        if not (path := self.text(name)):
            return ""
        try:
            return (self.file.parent / path).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(name, f"it can't be read: {error}", "name a file that exists") from error

    def refuse(self, reasons: Mapping[str, str], remedy: str) -> None:
        for name, reason in reasons.items():
            if self.fields.get(name):
                raise self.error(name, reason, remedy)


def read_kubeconfig(files: Sequence[Path]) -> Login:
    """Server and identity of the current context. Raises InvalidSpec that names the file and the field at fault."""
    documents = _documents(files)
    context = _current(documents)
    cluster = _named(documents, "cluster", context.text("cluster"))
    cluster.refuse(_REFUSED_CLUSTER, "remove it, and make the server reachable without")
    user = _named(documents, "user", context.text("user"))
    user.refuse(_REFUSED_USER, _USE_A_TOKEN)
    return Login(
        server=_server(cluster),
        token=(user.text("token") or user.file_content("tokenFile")).strip(),
        authority=cluster.content("certificate-authority", data="certificate-authority-data"),
        certificate=user.content("client-certificate", data="client-certificate-data"),
        key=user.content("client-key", data="client-key-data"),
        server_name=cluster.text("tls-server-name"),
        verify=cluster.fields.get("insecure-skip-tls-verify") is not True,
        origin=str(user.file),
    )


def _documents(files: Sequence[Path]) -> list[tuple[Path, Mapping[str, Any]]]:
    found = [(file, _load(file)) for file in files if file.exists()]
    if not found:
        names = ", ".join(str(file) for file in files)
        raise InvalidSpec(FieldError(names, "there is no such file", "name a kubeconfig in KUBECONFIG"))
    return found


def _load(file: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidSpec(FieldError(str(file), f"it can't be read: {error}", "write a kubeconfig there")) from error
    if not isinstance(document, dict):
        raise InvalidSpec(FieldError(str(file), "this is no kubeconfig", "write a kubeconfig there"))
    return document


def _current(documents: Sequence[tuple[Path, Mapping[str, Any]]]) -> _Entry:
    for _, document in documents:
        if name := document.get("current-context"):
            return _named(documents, "context", str(name))
    path = f"{documents[0][0]}: current-context"
    raise InvalidSpec(FieldError(path, "no context is chosen", "choose one with `kubectl config use-context NAME`"))


def _named(documents: Sequence[tuple[Path, Mapping[str, Any]]], kind: str, name: str) -> _Entry:
    for file, document in documents:
        for index, item in enumerate(_items(document, f"{kind}s")):
            if item.get("name") == name:
                fields = item.get(kind)
                return _Entry(file, f"{kind}s[{index}].{kind}", fields if isinstance(fields, dict) else {})
    path = f"{documents[0][0]}: {kind}s"
    raise InvalidSpec(FieldError(path, f"there is no {kind} with the name `{name}`", f"add it, or name another {kind}"))


def _items(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = document.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _server(cluster: _Entry) -> str:
    server = cluster.text("server").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise cluster.error("server", f"`{server}` is no address", "give one that starts with https://")
    return server
