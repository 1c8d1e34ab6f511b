"""The programs that make the cluster, in the order in which they start, with their arguments."""

from dataclasses import dataclass

from e2e.cluster import addresses
from e2e.cluster.layout import CONFIG

PKI = CONFIG / "pki"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
AUDIT_LOG = "/var/log/berth/audit.log"
# Nodes that carry this annotation are played by kwok.
FAKE_NODE_ANNOTATION = "kwok.x-k8s.io/node=fake"


@dataclass(frozen=True)
class Process:
    """A program, by the name of its file, and its arguments."""

    name: str
    arguments: tuple[str, ...]


# What runs before there is an API server to ask, and the API server itself.
FOUNDATION = (
    Process("etcd", ("--data-dir=/var/lib/etcd", "--unsafe-no-fsync", "--log-level=warn")),
    Process("containerd", (f"--config={CONFIG}/containerd.toml", "--log-level=warn")),
    Process("registry", ("serve", f"{CONFIG}/registry.yaml")),
    Process(
        "kube-apiserver",
        (
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={addresses.NODE_ADDRESS}",
            f"--service-cluster-ip-range={addresses.SERVICE_SUBNET}",
            f"--tls-cert-file={PKI}/apiserver.crt",
            f"--tls-private-key-file={PKI}/apiserver.key",
            f"--client-ca-file={PKI}/ca.crt",
            f"--kubelet-certificate-authority={PKI}/ca.crt",
            f"--kubelet-client-certificate={PKI}/admin.crt",
            f"--kubelet-client-key={PKI}/admin.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={PKI}/service-accounts.key",
            f"--service-account-signing-key-file={PKI}/service-accounts.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            f"--audit-policy-file={CONFIG}/audit.yaml",
            f"--audit-log-path={AUDIT_LOG}",
            # One file, never rotated away from a test that reads it.
            "--audit-log-maxsize=4096",
        ),
    ),
)

# What finds its work by asking the API server, and waits for it by itself.
CLIENTS = (
    Process(
        "kube-controller-manager",
        (
            f"--kubeconfig={CONFIG}/controllers.kubeconfig",
            "--leader-elect=false",
            f"--service-account-private-key-file={PKI}/service-accounts.key",
            f"--root-ca-file={PKI}/ca.crt",
            "--use-service-account-credentials",
        ),
    ),
    Process("kube-scheduler", (f"--kubeconfig={CONFIG}/scheduler.kubeconfig", "--leader-elect=false")),
    Process(
        "kubelet",
        (
            f"--config={CONFIG}/kubelet.yaml",
            f"--kubeconfig={CONFIG}/node.kubeconfig",
            f"--hostname-override={addresses.NODE_NAME}",
            f"--node-ip={addresses.NODE_ADDRESS}",
        ),
    ),
    Process(
        "kube-proxy",
        (
            f"--kubeconfig={CONFIG}/proxy.kubeconfig",
            f"--hostname-override={addresses.NODE_NAME}",
            "--proxy-mode=nftables",
            # The machine's own limit stays as it is.
            "--conntrack-max-per-core=0",
        ),
    ),
    Process("coredns", (f"-conf={CONFIG}/Corefile",)),
    Process(
        "kwok",
        (
            f"--kubeconfig={CONFIG}/admin.kubeconfig",
            f"--config={CONFIG}/stages.yaml",
            f"--manage-nodes-with-annotation-selector={FAKE_NODE_ANNOTATION}",
            f"--cidr={addresses.FAKE_POD_SUBNET}",
            f"--node-ip={addresses.NODE_ADDRESS}",
            "--node-lease-duration-seconds=40",
        ),
    ),
)

PROCESSES = (*FOUNDATION, *CLIENTS)
BY_NAME = {process.name: process for process in PROCESSES}
