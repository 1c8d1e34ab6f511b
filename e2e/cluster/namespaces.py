"""The network, mount and process namespaces that a cluster lives in: made, entered, ended.

The network has no device but its own, so nothing that a test sends leaves the machine. The mounts cover /run, /var/lib
and /var/log (layout.py). The processes end together, because the kernel ends a process namespace with its first.
"""

import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster import addresses
from e2e.cluster.layout import COVERED, Layout
from e2e.cluster.machine import SYSTEM_FOLDERS

ANCHOR = Path(__file__).with_name("anchor.py")
END_SECONDS = 20.0
# Set for every program that runs inside: there, entering is nothing to do.
INSIDE = "BERTH_CLUSTER_INSIDE"


class NotUp(RuntimeError):  # noqa: N818 - reads as what happened
    """There is no cluster in this state folder."""


def anchor_pid(layout: Layout) -> int | None:
    """The anchor's process id, or None where no cluster lives. A number that another process got since is not ours."""
    try:
        pid = int(layout.anchor.read_text())
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (OSError, ValueError):
        return None
    return pid if argv[1:3] == [str(ANCHOR), str(layout.state)] else None


def entering(layout: Layout) -> list[str]:
    """The words to put before a command so that it runs inside; none if we are inside."""
    if os.environ.get(INSIDE) == str(layout.state):
        return []
    pid = anchor_pid(layout)
    if pid is None:
        raise NotUp(f"no cluster is up in {layout.state}: run `make cluster`")
    return ["nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--"]


def entering_network(layout: Layout) -> list[str]:
    """The same for a command that needs the machine's own files, and of the cluster its network alone."""
    words = entering(layout)
    return [word for word in words if word not in {"--mount", "--pid"}]


def processes_folder(layout: Layout) -> Path:
    """The folder /proc as the cluster's processes see it."""
    return Path("/proc" if not entering(layout) else f"/proc/{anchor_pid(layout)}/root/proc")


def make_namespaces(layout: Layout) -> None:
    """Start the anchor in namespaces of its own and set them up. The state folder is there already."""
    for name in COVERED:
        (layout.state / name).mkdir(exist_ok=True)
    resolver = layout.state / "resolv.conf"
    resolver.write_text(f"nameserver {addresses.DNS_ADDRESS}\nsearch svc.{addresses.DNS_DOMAIN}\n")
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "slave"]
    process = subprocess.Popen(
        [*unshare, "--", sys.executable, str(ANCHOR), str(layout.state)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    layout.anchor.write_text(str(_only_child(process.pid)))
    # `unshare` itself would only wait for the anchor, which does without a parent.
    process.kill()
    process.wait()
    script = "\n".join(["set -e", *build_setup(layout.state, Path("/etc/resolv.conf").resolve())])
    subprocess.run([*entering(layout), "sh", "-c", script], check=True)


def build_setup(state: Path, resolver: Path) -> list[str]:
    """The shell commands that turn fresh namespaces into a cluster's: its mounts, then its network.

    `resolver` is the file that names the machine's DNS server, links followed: programs inside ask the cluster's.
    """
    device = ["lo", "node0", "node1"]
    return [
        # The kubelet and containerd share mounts with one another, and with nobody outside.
        "mount --make-rshared /",
        *(f"mount --bind {shlex.quote(str(state / name))} {path}" for name, path in COVERED.items()),
        f"mkdir -p {shlex.quote(str(resolver.parent))}",
        f"[ -e {shlex.quote(str(resolver))} ] || touch {shlex.quote(str(resolver))}",
        f"mount --bind {shlex.quote(str(state / 'resolv.conf'))} {shlex.quote(str(resolver))}",
        "ip link add node0 type veth peer name node1",
        f"ip address add {addresses.NODE_ADDRESS}/24 dev node0",
        *(f"ip link set {name} up" for name in device),
        # The API server refuses to start without a default route. The two halves below win over it, so whoever wants
        # to go out, or to a pod that is only played, is told at once instead of waiting.
        f"ip route add default via {addresses.NODE_ADDRESS} dev node0",
        "ip route add unreachable 0.0.0.0/1",
        "ip route add unreachable 128.0.0.0/1",
        # A Service's address becomes a pod's only after the way of a packet was looked up, so it needs a way.
        f"ip route add {addresses.SERVICE_SUBNET} dev node0",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
    ]


def end_namespaces(layout: Layout) -> None:
    """End every process of the cluster and wait until they are gone; their mounts and network go with them."""
    pid = anchor_pid(layout)
    if pid is None:
        return
    end_process(pid)


def end_process(pid: int) -> None:
    """Kill a process and wait for its end: of the first one of a process namespace, that is the end of all."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        ended, _, _ = select.select([descriptor], [], [], END_SECONDS)
    finally:
        os.close(descriptor)
    if not ended:
        raise TimeoutError(f"the cluster's first process {pid} did not end in {END_SECONDS:.0f} s")


def _only_child(pid: int) -> int:
    """Wait for the one process that `pid` starts; raises RuntimeError if it ended instead."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline and children.exists():
        if found := children.read_text().split():
            return _after_exec(int(found[0]))
        time.sleep(0.005)
    raise RuntimeError("no namespaces could be made: are you root, and does the kernel allow `unshare --net --pid`?")


def _after_exec(pid: int) -> int:
    """Wait until the process has become the anchor: before that its mounts are not yet its own."""
    command = Path(f"/proc/{pid}/cmdline")
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline and command.exists():
        if str(ANCHOR).encode() in command.read_bytes().split(b"\0")[1:2]:
            return pid
        time.sleep(0.005)
    raise RuntimeError("`unshare` started nothing: run it by hand to see why")


def inside_environment(layout: Layout, programs: Sequence[Path]) -> dict[str, str]:
    """What programs inside get beside the environment of whoever starts them."""
    path = ":".join([*map(str, programs), os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    return {INSIDE: str(layout.state), "KUBECONFIG": str(layout.kubeconfig), "PATH": path}
