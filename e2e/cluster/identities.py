"""Who is who in the cluster: its certificate authority, one certificate for each program, and their kubeconfigs."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import trustme

from e2e.cluster import addresses

CONTEXT = "berth-cluster"


@dataclass(frozen=True)
class Identity:
    """A certificate: the file it goes to, the user that it makes its holder, the user's group, where it serves."""

    name: str
    user: str
    group: str = "berth-cluster"
    hosts: tuple[str, ...] = ()


API_SERVER_HOSTS = (
    addresses.NODE_ADDRESS,
    addresses.API_SERVICE_ADDRESS,
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{addresses.DNS_DOMAIN}",
)
NODE_HOSTS = (addresses.NODE_NAME, addresses.NODE_ADDRESS)
IDENTITIES = (
    Identity("apiserver", "kube-apiserver", hosts=API_SERVER_HOSTS),
    Identity("admin", "admin", group="system:masters"),
    Identity("node", f"system:node:{addresses.NODE_NAME}", group="system:nodes", hosts=NODE_HOSTS),
    Identity("controllers", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("proxy", "system:kube-proxy"),
    Identity("dns", "system:coredns"),
    # Not a user: its key signs the tokens of service accounts.
    Identity("service-accounts", "service-accounts"),
)


def write_identities(folder: Path) -> None:
    """Write pki/ca.crt, pki/NAME.crt, pki/NAME.key and NAME.kubeconfig for every identity below `folder`."""
    pki = folder / "pki"
    pki.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="berth-cluster")
    authority.cert_pem.write_to_path(str(pki / "ca.crt"))
    for identity in IDENTITIES:
        issued = authority.issue_cert(
            *(identity.hosts or (identity.name,)), common_name=identity.user, organization_name=identity.group
        )
        certificate, key = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
        (pki / f"{identity.name}.crt").write_bytes(certificate)
        (pki / f"{identity.name}.key").write_bytes(key)
        kubeconfig = build_kubeconfig(authority.cert_pem.bytes(), certificate, key)
        (folder / f"{identity.name}.kubeconfig").write_text(json.dumps(kubeconfig, indent=1))


def build_kubeconfig(authority: bytes, certificate: bytes, key: bytes) -> dict[str, object]:
    """A kubeconfig that holds its certificates itself; all three are PEM."""
    cluster = {"server": addresses.API_SERVER, "certificate-authority-data": _base64(authority)}
    user = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
