"""What the supervisor tells the middleware, by one environment variable: vLLM has no words for its middleware."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from berth_api.artifact import Task
from berth_api.names import address_of

VARIABLE: Final = "BERTH_VLLM"


@dataclass(frozen=True, kw_only=True)
class FrontSettings:
    """What the middleware has to know.

    `started` is when vLLM was started, on the monotonic clock that all processes of a machine share; `link_fd` the open
    socket to the supervisor, None where there is none (in tests). `tools` says whether vLLM parses tool calls;
    `adapters` are the names under which the model's adapters are asked for, as `<model>:<adapter>`.
    """

    name: str
    task: Task
    started: float
    link_fd: int | None = None
    tools: bool = False
    adapters: tuple[str, ...] = ()

    @property
    def served(self) -> tuple[str, ...]:
        """Every name that a request may be for, the model's first."""
        return (self.name, *(address_of(self.name, adapter) for adapter in self.adapters))


def write_settings(settings: FrontSettings) -> dict[str, str]:
    """The variable, for the environment of the server."""
    return {VARIABLE: json.dumps(asdict(settings))}


def read_settings(environ: Mapping[str, str]) -> FrontSettings:
    """The settings. Raises KeyError where vLLM was not started by the supervisor."""
    given = json.loads(environ[VARIABLE])
    return FrontSettings(**{**given, "task": Task(given["task"]), "adapters": tuple(given["adapters"])})
