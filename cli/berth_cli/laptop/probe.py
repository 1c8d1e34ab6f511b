"""Asks a runtime process on this machine how it is: `/health/ready` and `/status`."""

from typing import Any

import aiohttp

from berth_api.launch import READY_PATH
from berth_cli.laptop.parts import EngineStatus

STATUS_PATH = "/status"
_FAILED = "Failed"
# When the runtime itself tries again; null where it has given up.
_RETRY_FIELD = "retryInSeconds"
_ANSWER_SECONDS = 5.0
# What the runtime is about after each stage that it has done.
_NEXT_STEPS = {
    "Detected": "starting the engine",
    "Spawned": "reading the weights",
    "Loaded": "waiting for its first answer",
}


class HttpProbe:
    """One HTTP client for all processes; `close` it at the end."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS))

    async def close(self) -> None:
        """Closes its connections."""
        await self._session.close()

    async def observe(self, port: int) -> EngineStatus:
        """How the process on `port` is; a process that does not answer in time is not answering."""
        address = f"http://127.0.0.1:{port}"
        try:
            async with self._session.get(address + READY_PATH) as ready:
                if ready.status == 200:
                    return EngineStatus(answering=True, ready=True)
            async with self._session.get(address + STATUS_PATH) as answer:
                status = await answer.json()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return EngineStatus()
        return read_status(status)


def read_status(status: Any) -> EngineStatus:
    """What the JSON of `/status` says of a process whose one model is not Ready."""
    models = status.get("models") if isinstance(status, dict) else None
    model = models[0] if isinstance(models, list) and models and isinstance(models[0], dict) else {}
    message = str(model.get("message") or "")
    if model.get("state") != _FAILED:
        return EngineStatus(answering=True, message=message or _step(model.get("stages")))
    if model.get(_RETRY_FIELD) is None:
        return EngineStatus(answering=True, failed=True, message=message)
    # Without the seconds: a message that changes with each look would be a new line each time.
    return EngineStatus(answering=True, message=f"{message}\nTrying again".lstrip())


def _step(stages: Any) -> str:
    done = stages[-1].get("name") if isinstance(stages, list) and stages and isinstance(stages[-1], dict) else None
    return _NEXT_STEPS.get(str(done), "")
