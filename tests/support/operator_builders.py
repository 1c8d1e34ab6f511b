"""What the operator's tests see of a cluster: facts, pods in every situation, and a small world that carries plans out.

`World` does what the API server and its controllers do as far as a plan can notice: it keeps applied objects with UIDs
and defaults, deletes with UID preconditions, and stores the status. Pods come only when a test says so.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from model_builders import a_manifest

from berth_api.names import LABEL_LOADING, LABEL_REVISION, model_labels
from berth_kube.errors import ClusterError
from berth_kube.resources import Object
from berth_operator.children.names import engine_name
from berth_operator.drift import needs_apply
from berth_operator.facts import ModelFacts, PodProgress
from berth_operator.model_plan import plan_model
from berth_operator.plan import Plan
from berth_operator.settings import Backend, Images, OperatorSettings, Profile

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32
SIZE = 500 * 1024 * 1024
ADAPTER_DIGEST = "sha256:" + "cd" * 32
ADAPTER_SIZE = 20 * 1024 * 1024
Json = dict[str, Any]


def some_settings(**changed: Any) -> OperatorSettings:
    """An installation with images for everything and two GPU profiles."""
    known: Json = {
        "namespace": "berth-system",
        "images": Images(
            fetch="berth/fetch:1",
            cpu="berth/cpu:1",
            cuda="berth/cuda:1",
            rocm="berth/rocm:1",
            vllm="berth/vllm:1",
            torch="berth/torch:1",
        ),
        "profiles": {
            "l4": Profile.model_validate({"memory": "24Gi", "nodeSelector": {"gpu": "l4"}}),
            "mi300": Profile.model_validate(
                {
                    "memory": "192Gi",
                    "resource": "amd.com/gpu",
                    "backend": Backend.ROCM,
                    "nodeSelector": {"gpu": "mi300"},
                }
            ),
        },
    }
    return OperatorSettings(**{**known, **changed})


def a_document(name: str = "qwen", *, generation: int = 1, **spec: Any) -> Json:
    """A Model as the API server has it; spec fields in the manifest's words."""
    given = {"source": {"uri": f"oci://registry.example.com/ai/{name}:1"}, **spec}
    document = a_manifest("Model", name, created="2026-03-01T11:00:00Z", spec=given)
    document["metadata"] |= {"uid": f"uid-{name}", "generation": generation, "resourceVersion": "1"}
    return document


def a_report(**artifact: Any) -> str:
    """What a resolver writes when all goes well: a small GGUF chat model unless said otherwise."""
    known = {
        "format": "GGUF",
        "task": "Chat",
        "digest": DIGEST,
        "sizeBytes": SIZE,
        "quantization": "Q4_K_M",
        **artifact,
    }
    return json.dumps({"artifact": known, "weights": "model.gguf", "notes": []})


def an_adapter_report(**artifact: Any) -> str:
    """What a resolver writes of an adapter: a LoRA in GGUF unless said otherwise."""
    known = {"format": "GGUF", "task": "Auto", "digest": ADAPTER_DIGEST, "sizeBytes": ADAPTER_SIZE, **artifact}
    return json.dumps({"artifact": known, "weights": "lora.gguf", "notes": []})


def an_adapter(name: str = "sql", **source: Any) -> Json:
    """One entry of `spec.adapters`."""
    return {"name": name, "source": {"uri": f"oci://registry.example.com/loras/{name}:1", **source}}


def a_refusal(reason: str, message: str = "it is so") -> str:
    """What a resolver or loader writes when it can't."""
    return json.dumps({"reason": reason, "message": message})


def ended(code: int = 0, message: str = "", reason: str = "", *, at: datetime = NOW, seconds: float = 4) -> Json:
    """A container's state `terminated`."""
    reason = reason or ("Completed" if code == 0 else "Error")
    times = {"startedAt": stamp(at - timedelta(seconds=seconds)), "finishedAt": stamp(at)}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}


def waiting(reason: str, message: str = "") -> Json:
    """A container's state `waiting`."""
    return {"waiting": {"reason": reason, "message": message}}


def running(since: datetime = NOW) -> Json:
    """A container's state `running`."""
    return {"running": {"startedAt": stamp(since)}}


def stamp(moment: datetime) -> str:
    """A moment as the API server writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def a_pod(
    name: str = "qwen-1",
    *,
    model: str = "qwen",
    revision: str = "r1",
    fetch: Json | None = None,
    engine: Json | None = None,
    before: Json | None = None,
    restarts: int = 0,
    started: bool | None = None,
    ready: bool = False,
    scheduled: bool | str = True,
    loading: bool = True,
    **more: Any,
) -> Json:
    """An engine pod. `scheduled` may be the scheduler's refusal; `before` is the engine's last state."""
    labels = {**model_labels(model), LABEL_REVISION: revision, **({LABEL_LOADING: ""} if loading else {})}
    refusal = scheduled if isinstance(scheduled, str) else ""
    conditions = [
        {
            "type": "PodScheduled",
            "status": "False" if refusal else str(bool(scheduled)),
            "lastTransitionTime": stamp(NOW),
            **({"reason": "Unschedulable", "message": refusal} if refusal else {}),
        },
        {"type": "Ready", "status": str(ready), "lastTransitionTime": stamp(NOW + timedelta(seconds=9))},
    ]
    status: Json = {"phase": "Running" if engine else "Pending", "conditions": conditions, **more.pop("status", {})}
    if fetch is not None:
        status["initContainerStatuses"] = [
            {"name": "fetch", "image": "berth/fetch:1", "state": fetch, "restartCount": restarts if not engine else 0}
        ]
    if engine is not None:
        has_started = "running" in engine and ready if started is None else started
        status["containerStatuses"] = [
            {
                "name": "engine",
                "image": "berth/cpu:1",
                "state": engine,
                "lastState": before or {},
                "restartCount": restarts,
                "started": has_started,
                "ready": ready,
            }
        ]
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels}
    metadata |= {"creationTimestamp": stamp(NOW - timedelta(seconds=2)), **more.pop("metadata", {})}
    return {"metadata": metadata, "spec": {"nodeName": "node-1", **more}, "status": status}


def a_ready_pod(name: str = "qwen-1", *, revision: str = "r1", loading: bool = False) -> Json:
    """A pod that answers."""
    return a_pod(name, revision=revision, fetch=ended(), engine=running(), ready=True, loading=loading)


def a_node(name: str = "gpu-1", *, gpus: int = 1, resource: str = "nvidia.com/gpu", **labels: str) -> Json:
    """A node with GPUs."""
    return {
        "metadata": {"name": name, "labels": labels or {"gpu": "l4"}},
        "spec": {},
        "status": {"allocatable": {"cpu": "8", resource: str(gpus)}},
    }


def condition(status: Mapping[str, Any] | None, kind: str) -> Json:
    """One condition of a status in JSON."""
    assert status is not None
    found: Json = next(one for one in status["conditions"] if one["type"] == kind)
    return found


def says(status: Mapping[str, Any] | None, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = condition(status, kind)
    return found["status"], found["reason"]


@dataclass
class World:
    """One Model in a cluster, and the clock."""

    document: Json
    settings: OperatorSettings = field(default_factory=some_settings)
    now: datetime = NOW
    nodes: tuple[Object, ...] | None = None
    children: dict[tuple[str, str], Json] = field(default_factory=dict)
    pods: list[Json] = field(default_factory=list)
    members: list[Json] = field(default_factory=list)
    job_pods: list[Json] = field(default_factory=list)
    prefetch_pods: list[Json] = field(default_factory=list)
    progress: dict[str, PodProgress] = field(default_factory=dict)
    failures: dict[tuple[str, str], ClusterError] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    """What the last `step` did: `apply Kind name`, `delete Kind name`, `unlabel name`, `status`."""
    events: list[str] = field(default_factory=list)
    _made: int = 0

    def facts(self) -> ModelFacts:
        """Everything as it would be read now."""
        jobs = tuple(child for (kind, _), child in sorted(self.children.items()) if kind == "Job")
        facts = ModelFacts(
            document=self.document,
            children={ref: child for ref, child in self.children.items() if ref[0] != "Job"},
            pods=tuple(self.pods),
            members=tuple(self.members),
            jobs=jobs,
            job_pods=tuple(self.job_pods),
            prefetch_pods=tuple(self.prefetch_pods),
            nodes=self.nodes,
            device_pods=tuple(self.pods),
            progress=self.progress,
            failures=self.failures,
        )
        return copy.deepcopy(facts)

    def plan(self, **changed: Any) -> Plan:
        """The plan for what is so now."""
        return plan_model(replace(self.facts(), **changed), self.settings, self.now)

    def step(self) -> Plan:
        """One reconcile, carried out."""
        plan = self.plan()
        self.written = []
        for write in plan.writes:
            self._apply(copy.deepcopy(dict(write.body)))
        for delete in plan.deletes:
            ref = (delete.resource.kind, delete.key.name)
            if ref in self.children and self.children[ref]["metadata"]["uid"] == delete.uid:
                del self.children[ref]
                self.written.append(f"delete {ref[0]} {ref[1]}")
        for unlabel in plan.unlabels:
            for pod in (*self.pods, *self.members):
                if pod["metadata"]["uid"] == unlabel.uid:
                    pod["metadata"]["labels"].pop(unlabel.label, None)
                    self.written.append(f"unlabel {unlabel.key.name}")
        if plan.status is not None:
            self.document = {**self.document, "status": copy.deepcopy(dict(plan.status))}
            self.written.append("status")
        self.events += [f"{notice.type} {notice.reason}" for notice in plan.notices]
        return plan

    def settle(self, most: int = 8) -> "World":
        """Reconcile until nothing is written any more, as events of our own writes would make it."""
        for _ in range(most):
            self.step()
            if not self.written:
                return self
        raise AssertionError(f"still writing after {most} rounds: {self.written}")

    def edit(self, **spec: Any) -> "World":
        """The user's edit: fields of the spec replaced, None removed."""
        merged = {**self.document["spec"], **spec}
        metadata = {**self.document["metadata"], "generation": self.document["metadata"]["generation"] + 1}
        kept = {name: value for name, value in merged.items() if value is not None}
        self.document = {**self.document, "metadata": metadata, "spec": kept}
        return self

    def resolve(
        self, message: str | None = None, *, code: int = 0, reason: str = "", adapter: str = "", job: Json | None = None
    ) -> "World":
        """The pod of `job` ends with this message, or that of the newest for the Model's source or an adapter's."""
        if job is None:
            jobs = self.adapter_jobs(adapter) if adapter else [one for one in self.jobs() if not _asks_for_adapter(one)]
            job = max(jobs, key=lambda one: int(one["metadata"]["annotations"]["berth.dev/attempt"]))
        job["status"] = {
            "startTime": stamp(self.now - timedelta(seconds=3)),
            "conditions": [
                {
                    "type": "Complete" if code == 0 else "Failed",
                    "status": "True",
                    "lastTransitionTime": stamp(self.now),
                }
            ],
        }
        owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": True}
        state = ended(code, a_report() if message is None else message, reason, at=self.now)
        self.job_pods.append(
            {
                "metadata": {"name": f"{job['metadata']['name']}-x", "ownerReferences": [owner]},
                "status": {"containerStatuses": [{"name": "resolve", "state": state}]},
            }
        )
        return self

    def serve(self, ready: int | None = None, *pods: Json) -> "World":
        """The Deployment's controller brings all replicas up, or `ready` of them; `pods` replace those it makes."""
        deployment = self.deployment
        wanted = deployment["spec"]["replicas"]
        ready = wanted if ready is None else ready
        counts = {"replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready, "availableReplicas": ready}
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            **{name: count for name, count in counts.items() if count},
        }
        made = [a_ready_pod(f"qwen-{index}", revision=self.revision) for index in range(ready)]
        self.pods = list(pods) or made
        return self

    def pass_seconds(self, seconds: float) -> "World":
        """The clock goes on."""
        self.now += timedelta(seconds=seconds)
        return self

    @property
    def deployment(self) -> Json:
        """The engine's Deployment."""
        return self.children[("Deployment", engine_name(self.document["metadata"]["name"]))]

    @property
    def revision(self) -> str:
        """The revision of its template."""
        revision: str = self.deployment["spec"]["template"]["metadata"]["labels"][LABEL_REVISION]
        return revision

    @property
    def status(self) -> Json:
        """The status as it was written last."""
        status: Json = self.document.get("status", {})
        return status

    def jobs(self) -> list[Json]:
        """The resolver Jobs."""
        return [child for (kind, _), child in sorted(self.children.items()) if kind == "Job"]

    def adapter_jobs(self, adapter: str) -> list[Json]:
        """The resolver Jobs of this adapter's source."""
        (uri,) = [one["source"]["uri"] for one in self.document["spec"]["adapters"] if one["name"] == adapter]
        return [job for job in self.jobs() if _asks_for_adapter(job) and uri in _command_of(job)]

    def kinds(self) -> list[str]:
        """The kinds of all children."""
        return sorted(kind for kind, _ in self.children)

    def _apply(self, body: Json) -> None:
        ref = (body["kind"], body["metadata"]["name"])
        found = self.children.get(ref)
        if not needs_apply(body, found):
            return
        self._made += 1
        metadata = {
            "uid": found["metadata"]["uid"] if found else f"child-{self._made}",
            "generation": found["metadata"]["generation"] + 1 if found else 1,
            "creationTimestamp": stamp(self.now),
        }
        kept = {"status": found["status"]} if found and "status" in found else {}
        self.children[ref] = {**body, **kept, "metadata": {**body["metadata"], **metadata}}
        self.written.append(f"apply {ref[0]} {ref[1]}")


def _command_of(job: Json) -> list[str]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return list(container["command"])


def _asks_for_adapter(job: Json) -> bool:
    return "--adapter" in _command_of(job)


def a_world(*, settings: OperatorSettings | None = None, nodes: tuple[Object, ...] | None = None, **spec: Any) -> World:
    """A cluster in which the Model `qwen` was just made."""
    return World(a_document(**spec), settings or some_settings(), nodes=nodes)


def a_resolved_world(*, report: str | None = None, **known: Any) -> World:
    """One whose source was resolved and whose children are written; no pod is there yet."""
    world = a_world(**known)
    world.step()
    return world.resolve(report).settle()


def a_serving_world(*, report: str | None = None, **known: Any) -> World:
    """One whose replicas all answer."""
    return a_resolved_world(report=report, **known).serve().settle()
