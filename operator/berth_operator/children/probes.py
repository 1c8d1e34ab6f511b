"""When a pod counts as started, as ready and as alive. Ready means that the engine has proved an answer."""

from typing import Final

from berth_api.artifact import Artifact, EngineType
from berth_api.launch import Launch
from berth_api.memory import MEBIBYTE
from berth_api.model import Model
from berth_operator.children.metadata import Manifest
from berth_operator.children.names import ENGINE_PORT_NAME

_START_SECONDS: Final = 180
# vLLM is half a minute in its imports, and compiles kernels and graphs before its first answer. PyTorch's take as long
# where a node's disk is cold.
_START_SECONDS_OF: Final = {EngineType.VLLM: 900, EngineType.TORCH: 360}
_SLOWEST_BYTES_PER_SECOND: Final = 32 * MEBIBYTE


def start_seconds(model: Model, artifact: Artifact, engine: EngineType) -> int:
    """How long an engine may take from its start to its first answer before it is restarted.

    Three minutes (Torch: six, vLLM: fifteen), and a second for each 32 MiB of files, which is what a slow disk gives;
    `rollout.startDeadline` bounds it, and stands for it where the size is not known, and for a group, whose head waits
    for its members, and these for GPUs.
    """
    deadline = max(model.spec.rollout.start_deadline.seconds, 1)
    if artifact.size_bytes is None or model.spec.group_size > 1:
        return deadline
    return min(
        _START_SECONDS_OF.get(engine, _START_SECONDS) + artifact.size_bytes // _SLOWEST_BYTES_PER_SECOND, deadline
    )


def build_probes(launch: Launch, seconds: int) -> Manifest:
    """The three probes of the engine's container.

    The startup probe asks each second, so that a model is Ready as soon as it answers.
    A liveness probe restarts, so it is slow to judge: an engine that computes a long prompt on all cores still lives.
    """
    ready, live = _get(launch.ready_path), _get(launch.live_path)
    return {
        "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": seconds},
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**live, "periodSeconds": 10, "failureThreshold": 6},
    }


def _get(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": ENGINE_PORT_NAME, "scheme": "HTTP"}, "timeoutSeconds": 5}
