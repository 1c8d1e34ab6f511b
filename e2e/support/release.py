"""Berth itself: the chart installed, upgraded and removed as an administrator does, with this cluster's images."""

import json
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from berth_kube.resources import DEPLOYMENTS, SERVICES
from e2e.cluster.addresses import REGISTRY
from e2e.support.fake_nodes import build_profiles
from e2e.support.objects import Objects
from e2e.support.programs import helm, kubectl
from e2e.support.until import until

CHART = Path(__file__).resolve().parents[2] / "charts/berth"
NAMESPACE = "berth-system"
RELEASE = "berth"
# What the chart is told of, beside a vLLM for processors if it was built; no pod starts one of the images for GPUs.
IMAGES = ("operator", "envoy", "fetch", "cpu")
OPERATOR, GATEWAY = "berth-operator", "berth-gateway"
START_SECONDS = 120
Json = dict[str, Any]


def build_values(images: Mapping[str, str]) -> Json:
    """The chart's values for a cluster whose registry speaks plain HTTP and whose machine is small."""
    small = {"requests": {"cpu": "50m", "memory": "96Mi"}}
    chosen = {name: _split(images[name]) for name in IMAGES}
    if "vllm" in images:
        chosen["vllmCpu"] = _split(images["vllm"])
    return {
        "images": chosen,
        "profiles": build_profiles(),
        "loader": {"insecureRegistries": [REGISTRY]},
        "operator": {"resources": small},
        "gateway": {"workers": 1, "drainSeconds": 10, "envoy": {"resources": small}, "agent": {"resources": small}},
    }


def _split(reference: str) -> Json:
    repository, _, tag = reference.rpartition(":")
    registry, _, path = repository.partition("/")
    return {"registry": registry, "repository": path, "tag": tag}


class Release:
    """The release `berth` in `berth-system`."""

    def __init__(self, objects: Objects, images: Mapping[str, str]) -> None:
        self._objects = objects
        self.images = dict(images)
        self.values = build_values(images)

    def install(self) -> None:
        """`helm install`, and wait until both Deployments are available and the node knows the new Service."""
        self._run("install")
        self.wait()
        until(self._answers, seconds=10, what="the gateway answers at its Service's address")

    def ensure(self) -> None:
        """Install it, or bring the one that a run before left to these values."""
        if RELEASE in helm("list", "--namespace", NAMESPACE, "--short").split():
            self.upgrade({})
        else:
            self.install()

    def upgrade(self, change: Mapping[str, Any]) -> None:
        """`helm upgrade` with further values, and wait until the new pods have replaced the old."""
        self._run("upgrade", change)
        self.wait()

    def uninstall(self) -> None:
        """`helm uninstall`, which waits until everything of the release is gone."""
        helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "90s")

    def wait(self) -> None:
        """Wait until operator and gateway run as their Deployments say, and no old pod is left."""
        for name in (OPERATOR, GATEWAY):
            words = ("rollout", "status", f"deployment/{name}", "--namespace", NAMESPACE)
            kubectl(*words, f"--timeout={START_SECONDS}s", seconds=START_SECONDS + 10)
            self._wait_for(name, f"{name} has no old pods")

    def scale_operator(self, replicas: int) -> None:
        """`kubectl scale` of the operator, and wait until so many run."""
        kubectl("scale", f"deployment/{OPERATOR}", f"--replicas={replicas}", "--namespace", NAMESPACE)
        self._wait_for(OPERATOR, f"the operator runs {replicas} times")

    def address(self) -> str:
        """The gateway's address for whoever runs on the node, where cluster names mean nothing."""
        return str(self._objects.read(SERVICES, NAMESPACE, GATEWAY)["spec"]["clusterIP"])

    def _wait_for(self, name: str, what: str) -> None:
        until(lambda: self._is_complete(name), seconds=60, what=what)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.address()}/health/ready", timeout=5).close()
        except OSError:
            return False
        return True

    def _is_complete(self, name: str) -> bool:
        deployment = self._objects.read(DEPLOYMENTS, NAMESPACE, name)
        wanted, status = deployment["spec"]["replicas"], deployment.get("status", {})
        counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "readyReplicas")]
        return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [wanted] * 3

    def _run(self, verb: str, change: Mapping[str, Any] = MappingProxyType({})) -> None:
        with tempfile.TemporaryDirectory(prefix="berth-values-") as folder:
            files = [Path(folder, name) for name in ("values.json", "change.json")]
            for file, values in zip(files, (self.values, dict(change)), strict=True):
                file.write_text(json.dumps(values), encoding="utf-8")
            given = [word for file in files for word in ("--values", str(file))]
            helm(verb, RELEASE, str(CHART), "--namespace", NAMESPACE, *given, "--timeout", "150s")
