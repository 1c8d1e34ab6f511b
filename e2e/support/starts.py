"""How long Models took from `kubectl apply` to Ready: the wall clock beside the stages that their status tells."""

import time
from dataclasses import dataclass, field
from typing import Any

from e2e.support.objects import MODELS, Objects, is_true
from e2e.support.programs import kubectl

Json = dict[str, Any]


@dataclass
class Starts:
    """Made right before `kubectl apply`; `seconds` is filled by `wait`."""

    objects: Objects
    namespace: str
    began: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)

    def wait(self, *names: str, seconds: float) -> None:
        """`kubectl wait` for each of these Models."""
        for name in names:
            words = ("wait", "--for=condition=Ready", f"model/{name}", "-n", self.namespace)
            kubectl(*words, f"--timeout={seconds:.0f}s", seconds=seconds + 10)
            self.seconds[name] = time.monotonic() - self.began

    def stages(self, name: str) -> dict[str, int]:
        """The stages of the Model's last start, in milliseconds."""
        model = self.objects.read(MODELS, self.namespace, name)
        assert is_true(model, "Ready")
        return {stage["name"]: stage["milliseconds"] for stage in model["status"]["stages"]}
