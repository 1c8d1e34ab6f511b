"""The cluster as tests and commands use it: its paths, its programs, and how to run something inside.

    node = Node.from_environment()
    node.kubectl("get", "pods", "--all-namespaces")
    node.kill("kube-apiserver"); node.start("kube-apiserver")

It works the same from outside and from a process that `python -m e2e.cluster run` started inside.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import addresses
from e2e.cluster.layout import Layout
from e2e.cluster.namespaces import entering, inside_environment, processes_folder
from e2e.cluster.processes import BY_NAME, PROCESSES, Process
from e2e.cluster.programs.folders import Programs

START_SECONDS = 10.0
# The shell writes down its process id and then becomes the program, so that the id is the program's.
_START = 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"'


class CommandFailed(RuntimeError):  # noqa: N818 - reads as what happened
    """A command inside the cluster ended badly; the message has its last words."""


class NeverHappened(TimeoutError):  # noqa: N818 - reads as what happened
    """What was waited for did not come in time."""


@dataclass(frozen=True)
class Node:
    """The one-node cluster of a state folder."""

    layout: Layout
    programs: Programs

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Node":
        """The cluster that BERTH_CLUSTER_STATE and KUBERNETES_VERSION name, or the default one."""
        return cls(Layout.from_environment(environment), Programs.from_environment(environment))

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig. Its server answers only inside."""
        return self.layout.kubeconfig

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: one JSON event a line, level Metadata."""
        return self.layout.audit_log

    @property
    def registry(self) -> str:
        """The registry's address, host and port; it speaks plain HTTP."""
        return addresses.REGISTRY

    @property
    def images(self) -> Mapping[str, str]:
        """The references of the images that `make images` put into the registry, by name."""
        path = self.layout.images
        found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return found

    @property
    def processes(self) -> Mapping[str, int | None]:
        """The process id of each of the cluster's programs, as the inside counts; None for one that does not run."""
        return {process.name: self.pid(process.name) for process in PROCESSES}

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` inside; KUBECONFIG and PATH come from `environment`."""
        return [*entering(self.layout), *argv]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of what runs inside: ours, with the cluster's KUBECONFIG and programs."""
        return {**os.environ, **inside_environment(self.layout, self.programs.folders)}

    def run(self, argv: Sequence[str], *, given: str | None = None) -> str:
        """Run `argv` inside with `given` as its input; what it printed. Raises CommandFailed."""
        done = subprocess.run(
            self.command(argv), input=given or "", capture_output=True, text=True, env=self.environment, check=False
        )
        if done.returncode != 0:
            raise CommandFailed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Ask kubectl, as the administrator. Raises CommandFailed."""
        return self.run([str(self.programs.path("kubectl")), *arguments], given=given)

    def apply(self, objects: Iterable[Mapping[str, object]]) -> None:
        """Apply Kubernetes objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", given=json.dumps(items))

    def load(self, archive: Path) -> None:
        """Import an image archive (OCI or `docker save`) into containerd, without the registry."""
        ctr = str(self.programs.path("ctr"))
        self.run([ctr, "--namespace=k8s.io", "images", "import", str(archive.resolve())])

    def set_gpus(self, count: int) -> None:
        """Let the real node say that it has `count` of nvidia.com/gpu. Pods get them, and no device."""
        amount = {"nvidia.com/gpu": str(count)}
        patch = json.dumps({"status": {"capacity": amount, "allocatable": amount}})
        self.kubectl("patch", "node", addresses.NODE_NAME, "--subresource=status", "--type=merge", f"--patch={patch}")

    def pid(self, name: str) -> int | None:
        """The process id of the program `name` as the inside counts, or None where it does not run."""
        try:
            pid = int((self.layout.pids / name).read_text())
            argv = (processes_folder(self.layout) / str(pid) / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if argv[0] == str(self.programs.path(name)).encode() else None

    def start(self, name: str) -> None:
        """Start the program `name` unless it runs, its output appended to its log."""
        if self.pid(name) is not None:
            return
        process: Process = BY_NAME[name]
        pid_file = self.layout.pids / name
        pid_file.unlink(missing_ok=True)
        argv = [str(self.programs.path(name)), *process.arguments]
        with (self.layout.logs / f"{name}.log").open("ab") as log:
            subprocess.run(
                self.command(["setsid", "--fork", "sh", "-c", _START, str(pid_file), *argv]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.environment, "OTEL_TRACES_EXPORTER": "none"},
                cwd="/",
                check=True,
            )
        self.wait_until(lambda: self.pid(name) is not None, START_SECONDS, f"{name} to start")

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the program `name` a signal, and after SIGKILL wait until it is gone."""
        pid = self.pid(name)
        if pid is None:
            return
        self.run(["kill", f"-{int(number)}", str(pid)])
        if number == signal.SIGKILL:
            self.wait_until(lambda: self.pid(name) != pid, START_SECONDS, f"{name} to end")

    def wait_until(self, happened: Callable[[], bool], seconds: float, what: str) -> None:
        """Poll until `happened()`; raises NeverHappened, which names the programs that do not run."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                ended = ", ".join(name for name, pid in self.processes.items() if pid is None)
                also = f", and {ended} does not run" if ended else ""
                raise NeverHappened(f"waited {seconds:.0f} s in vain for {what}{also}: see {self.layout.logs}")
            time.sleep(0.05)
