"""What an engine takes as `--engine-arg`, and how the words are read; what can't be right is a `LoadFailed`. Pure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from berth_api.artifact import EngineType, Task
from berth_runtime.engines.protocol import LoadFailed

T = TypeVar("T")


@dataclass(frozen=True)
class Library:
    """What runs the models of an engine: the engine's name, and the arguments that it takes whatever the task is.

    `runs_graphs` is whether it runs graphs, which may pool by themselves; of safetensors one is made that does.
    """

    engine: EngineType
    arguments: frozenset[str]
    runs_graphs: bool = False

    def check(self, args: Mapping[str, str], task: Task, of_task: Collection[str] = ()) -> None:
        """Raise `LoadFailed` for an argument that neither this library nor the task takes."""
        taken = self.arguments.union(of_task)
        unknown = sorted(args.keys() - taken)
        if unknown:
            known = ", ".join(sorted(taken))
            raise LoadFailed(
                f"the engine {self.engine} has no argument {unknown[0]!r} for the task {task}; it has {known}"
            )


def argument(
    args: Mapping[str, str], name: str, parse: Callable[[str], T], default: T | None, allowed: Collection[str]
) -> T | None:
    """The argument's value, or `default`; `parse` raises `ValueError` for what is not `allowed`."""
    value = args.get(name)
    if value is None:
        return default
    try:
        return parse(value)
    except ValueError as error:
        words = ", ".join(allowed)
        raise LoadFailed(f"the engine argument {name}={value} is not known; it may be {words}") from error


def flag(args: Mapping[str, str], name: str, *, default: bool) -> bool:
    """The argument's value, true or false."""
    words = ("true", "false")
    return argument(args, name, one_of(words), "true" if default else "false", words) == "true"


def one_of(words: Collection[str]) -> Callable[[str], str]:
    """A parser that takes these words alone."""

    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(value)
        return value

    return parse
