"""The client: a pod in a namespace of its own that asks by the official `openai` package, as users' programs do."""

import json
from typing import Any

from e2e.support.manifests import a_namespace, apply
from e2e.support.programs import Finished, kubectl, run
from e2e.support.release import GATEWAY, NAMESPACE

CLIENTS = "clients"
POD = "client"
BASE_URL = f"http://{GATEWAY}.{NAMESPACE}/v1"
_PRELUDE = f"""
import json, openai
client = openai.OpenAI(base_url={BASE_URL!r}, api_key="none", max_retries=0, timeout=60)
def say(answer): print(json.dumps(answer))
"""


class ClientPod:
    """The pod, once it runs."""

    def __init__(self, image: str) -> None:
        apply(a_namespace(CLIENTS), _pod(image))
        kubectl("wait", "--for=condition=Ready", f"pod/{POD}", "-n", CLIENTS, "--timeout=90s", seconds=100)

    def ask(self, script: str, *, seconds: float = 90.0) -> Any:
        """What a script in the pod says: it has `client` and ends with `say(…)`."""
        return json.loads(self.try_script(script, seconds=seconds).checked().out)

    def try_script(self, script: str, *, seconds: float = 90.0) -> Finished:
        """The same, where it may fail."""
        words = ("kubectl", "exec", "-i", "-n", CLIENTS, POD, "--", "python", "-")
        return run(*words, stdin=_PRELUDE + script, seconds=seconds)


def _pod(image: str) -> dict[str, Any]:
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "client",
        "image": image,
        # It waits to be asked, and ends at once when it is told to.
        "command": ["python", "-c", "import signal; signal.signal(15, lambda *_: exit()); signal.pause()"],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - in the pod
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "containers": [container],
        "securityContext": security,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "namespace": CLIENTS}, "spec": spec}
