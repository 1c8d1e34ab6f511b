"""The cluster that the whole story runs on: it comes up, heals, says who asked for what, and leaves no trace."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import tools
from e2e.cluster import cgroups, lifecycle, machine
from e2e.cluster.addresses import NODE_NAME
from e2e.cluster.layout import Layout
from e2e.cluster.namespaces import anchor_pid, end_process
from e2e.cluster.node import Node
from e2e.cluster.programs.folders import Programs

pytestmark = pytest.mark.needs("kube", "registry")
SECONDS = 60.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    missing = machine.missing_packages(machine.CLUSTER_NEEDS)
    if not machine.may_make_namespaces() or missing:
        refuse = pytest.fail if tools.required() else pytest.skip
        refuse(f"a cluster wants root on Linux, and the packages {', '.join(machine.CLUSTER_NEEDS.values())}")
    node = Node(Layout.at(tmp_path_factory.mktemp("cluster") / "state"), Programs.from_environment({}))
    try:
        lifecycle.bring_up(node)
        yield node
    finally:
        lifecycle.bring_down(node.layout)


def a_fake_pod(name: str, kind: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeSelector": {"nvidia.com/gpu.product": kind},
            "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
            "initContainers": [{"name": "fetch", "image": "of.no/use:1"}],
            "containers": [
                {"name": "engine", "image": "of.no/use:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
            ],
        },
    }


def the_status(node: Node, pod: str) -> Mapping[str, object]:
    status: Mapping[str, object] = json.loads(node.kubectl("get", "pod", pod, "--output=json"))["status"]
    return status


def _process_namespaces() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        # Processes end while we look, some are closed to us, and zombies wait for the machine's first process.
        with contextlib.suppress(OSError):
            if (process / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                yield (process / "ns/pid").readlink()


def test_up_again_starts_nothing(node: Node) -> None:
    before = dict(node.processes)
    assert None not in before.values()
    lifecycle.bring_up(node)
    assert dict(node.processes) == before


def test_what_was_killed_is_started_again_and_has_what_it_had(node: Node) -> None:
    node.kubectl("create", "configmap", "kept")
    for name in ("etcd", "kube-apiserver", "kubelet", "containerd"):
        node.kill(name)
        assert not lifecycle.is_up(node)
    lifecycle.bring_up(node)
    assert node.kubectl("get", "configmap", "kept", "--output=name").strip() == "configmap/kept"


def test_a_pod_on_a_fake_node_is_ready_after_its_init_containers(node: Node) -> None:
    node.apply([a_fake_pod("placed", "NVIDIA-L4")])
    node.kubectl("wait", "--for=condition=Ready", "pod/placed", f"--timeout={SECONDS:.0f}s")
    (fetch,) = the_status(node, "placed")["initContainerStatuses"]  # type: ignore[misc]
    assert fetch["state"]["terminated"]["exitCode"] == 0


def test_a_pod_that_fits_nowhere_is_told_so_by_the_real_scheduler(node: Node) -> None:
    node.apply([a_fake_pod("homeless", "NVIDIA-B200")])
    node.kubectl("wait", "--for=condition=PodScheduled=false", "pod/homeless", f"--timeout={SECONDS:.0f}s")
    assert "didn't match Pod's node affinity/selector" in json.dumps(the_status(node, "homeless"))


def test_the_real_node_can_have_gpus_that_are_none(node: Node) -> None:
    node.set_gpus(3)
    allocatable = json.loads(node.kubectl("get", "node", NODE_NAME, "--output=json"))["status"]["allocatable"]
    assert allocatable["nvidia.com/gpu"] == "3"


def test_the_audit_log_says_who_asked_for_what(node: Node) -> None:
    node.kubectl("get", "configmap", "asked-for", "--ignore-not-found")

    def is_logged() -> bool:
        whole = (json.loads(line) for line in node.audit_log.read_text().splitlines(keepends=True) if line[-1] == "\n")
        asked = [event for event in whole if event.get("objectRef", {}).get("name") == "asked-for"]
        return [(event["verb"], event["user"]["username"]) for event in asked] == [("get", "admin")]

    node.wait_until(is_logged, SECONDS, "the request in the audit log")


def test_names_of_the_cluster_are_resolved_inside(node: Node) -> None:
    look_up = "import socket; print(socket.gethostbyname('kubernetes.default.svc.cluster.local'))"
    assert node.run(["python3", "-c", look_up]).strip() == "10.96.0.1"


def test_down_leaves_no_process_mount_group_or_file(node: Node) -> None:
    before = anchor_pid(node.layout)
    assert before is not None
    namespace = Path(f"/proc/{before}/ns/pid").readlink()
    lifecycle.bring_down(node.layout)
    assert namespace not in set(_process_namespaces())
    assert str(node.layout.state) not in Path("/proc/self/mounts").read_text()
    assert cgroups.left_groups(node.layout.name) == []
    assert not list(node.layout.state.parent.iterdir())


def test_up_after_a_crash_of_everything_starts_afresh(node: Node) -> None:
    lifecycle.bring_up(node)
    pid = anchor_pid(node.layout)
    assert pid is not None
    end_process(pid)
    lifecycle.bring_up(node)
    assert lifecycle.is_up(node)
