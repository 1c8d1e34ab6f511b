"""The operator's replicas: which one leads, and how one is killed without a word."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from berth_kube.resources import LEASES, PODS
from e2e.support.objects import Objects, name_of, uid_of
from e2e.support.release import NAMESPACE, OPERATOR
from e2e.support.until import until

SELECTOR = "app.kubernetes.io/name=berth,app.kubernetes.io/component=operator"
PROGRAM = b"berth_operator"
Json = dict[str, Any]


class OperatorPods:
    """Looks at the Lease and at the pods."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def holder(self) -> str:
        """The pod that the Lease names, without the mark of its process; empty where nobody holds it."""
        lease = self._objects.get(LEASES, NAMESPACE, OPERATOR)
        return str((lease or {}).get("spec", {}).get("holderIdentity") or "").partition("_")[0]

    def leader(self, *, seconds: float = 30.0) -> Json:
        """The pod that leads and runs, waited for."""
        return until(
            self._leader, seconds=seconds, what="a running pod of the operator holds the Lease", seen=self.holder
        )

    def _leader(self) -> Json | None:
        pod = self._objects.get(PODS, NAMESPACE, self.holder()) if self.holder() else None
        return pod if pod is not None and processes_of(pod) else None

    def kill_leader(self) -> str:
        """SIGKILL to the leader's process; then its pod is removed, so that no back-off of the kubelet delays the next.

        Returns the pod's name.
        """
        pod = self.leader()
        for pid in processes_of(pod):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._objects.delete(PODS, NAMESPACE, name_of(pod), grace_seconds=0)
        return name_of(pod)

    def pods(self) -> list[Json]:
        """All replicas."""
        return self._objects.items(PODS, NAMESPACE, SELECTOR)

    def resident_bytes(self) -> int:
        """What the leader's process holds in memory."""
        (pid, *_) = processes_of(self.leader())
        status = (Path("/proc") / str(pid) / "status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


def processes_of(pod: Json) -> list[int]:
    """The operator's processes in a pod of this node, found by the pod's control group."""
    uid = uid_of(pod)
    return [pid for pid in _all_processes() if _is_in(pid, uid) and PROGRAM in _read(pid, "cmdline")]


def _all_processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _is_in(pid: int, uid: str) -> bool:
    groups = _read(pid, "cgroup").decode(errors="replace")
    return uid in groups or uid.replace("-", "_") in groups


def _read(pid: int, name: str) -> bytes:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / name).read_bytes()
    return b""
