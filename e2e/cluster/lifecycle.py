"""Bring the cluster up, whatever state it is in, and down without a trace."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.cluster import addresses, cgroups, machine, pause
from e2e.cluster.configuration import write_configuration
from e2e.cluster.fleet import KINDS, build_fleet
from e2e.cluster.identities import write_identities
from e2e.cluster.layout import CONFIG, Layout
from e2e.cluster.namespaces import anchor_pid, end_namespaces, make_namespaces
from e2e.cluster.node import CommandFailed, Node
from e2e.cluster.processes import CLIENTS, FOUNDATION
from e2e.cluster.programs.build import build_programs

ANSWER_SECONDS = 120.0
CPU_SHARE = "BERTH_CLUSTER_CPU_SHARE"
"""How many times as much of the cores the pods get, where they are short, as whatever else the machine does."""


def bring_up(node: Node) -> None:
    """Make the cluster, or start what of it does not run. Nothing is done where it is up.

    Raises MachineLacks where something is missing, before it compiles what may take minutes.
    """
    machine.demand_root()
    machine.demand(machine.CLUSTER_NEEDS)
    build_programs(node.programs)
    with _alone(node.layout):
        if anchor_pid(node.layout) is None:
            _remove(node.layout)
            _prepare(node)
        if not is_up(node):
            _start(node)


def bring_down(layout: Layout) -> None:
    """End the cluster and remove everything that it wrote. Nothing is done where there is none."""
    machine.demand_root()
    with _alone(layout):
        _remove(layout)
        layout.lock.unlink()


def is_up(node: Node) -> bool:
    """Whether every program runs and the node is Ready."""
    return anchor_pid(node.layout) is not None and None not in node.processes.values() and _is_node_ready(node)


def _prepare(node: Node) -> None:
    layout = node.layout
    layout.state.mkdir(mode=0o700)
    for folder in (layout.logs, layout.pids, layout.config):
        folder.mkdir(parents=True)
    write_identities(layout.config)
    write_configuration(layout.config, layout.name)
    shutil.copyfile(layout.config / "admin.kubeconfig", layout.kubeconfig)
    layout.kubeconfig.chmod(0o600)
    pause.write_archive(node.programs.path("pause"), layout.state / "pause.tar")
    cgroups.make_group(layout.name, cpu_share=int(os.environ.get(CPU_SHARE, "1")))
    make_namespaces(layout)


def _start(node: Node) -> None:
    for process in FOUNDATION:
        node.start(process.name)
    # The kubelet gives up where no container runtime answers, and finds no sandbox where its image is missing.
    node.wait_until(lambda: _succeeds(node, "ctr", "version"), ANSWER_SECONDS, "containerd to answer")
    node.load(node.layout.state / "pause.tar")
    node.wait_until(lambda: _succeeds(node, "kubectl", "get", "--raw=/readyz"), ANSWER_SECONDS, "the API server")
    for process in CLIENTS:
        node.start(process.name)
    node.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CONFIG}/system.yaml")
    node.apply(build_fleet(dict.fromkeys(KINDS, 1)))
    node.wait_until(lambda: _is_node_ready(node), ANSWER_SECONDS, f"the node {addresses.NODE_NAME} to be Ready")
    # Without it no pod is admitted, and the controller that makes it may be slower than the node.
    account = ("kubectl", "get", "serviceaccount", "default", "--namespace=default")
    node.wait_until(lambda: _succeeds(node, *account), ANSWER_SECONDS, "the service account `default`")


def _remove(layout: Layout) -> None:
    end_namespaces(layout)
    cgroups.remove_group(layout.name)
    if layout.state.exists():
        shutil.rmtree(layout.state)


def _succeeds(node: Node, program: str, *arguments: str) -> bool:
    try:
        node.run([str(node.programs.path(program)), *arguments])
    except CommandFailed:
        return False
    return True


def _is_node_ready(node: Node) -> bool:
    path = '--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    try:
        return node.kubectl("get", "node", addresses.NODE_NAME, path, "--request-timeout=5s") == "True"
    except CommandFailed:
        return False


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    while True:
        with layout.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Whoever brought the cluster down has removed the file that we waited for, and others wait for the next.
            if layout.lock.exists() and os.path.samestat(layout.lock.stat(), os.fstat(lock.fileno())):
                yield
                return
