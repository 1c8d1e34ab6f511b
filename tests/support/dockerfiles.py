"""Dockerfiles as values: stages with their instructions, continuation lines joined, comments dropped."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One stage: what it starts from, its name, and its instructions as (word, rest) in order."""

    base: str
    name: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, word: str) -> list[str]:
        """What stands behind each instruction of this word."""
        return [rest for found, rest in self.instructions if found == word]


@dataclass(frozen=True)
class Dockerfile:
    """The whole file. `arguments` are those before the first stage, with their defaults."""

    text: str
    arguments: dict[str, str]
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage called `name`."""
        return next(stage for stage in self.stages if stage.name == name)

    def lineage(self, name: str) -> list[Stage]:
        """The stage and those that it starts from, the first one last."""
        stage = self.stage(name)
        names = {each.name for each in self.stages}
        return [stage, *(self.lineage(stage.base) if stage.base in names else [])]


def read_dockerfile(path: Path) -> Dockerfile:
    """Parse the file at `path`."""
    text = path.read_text()
    instructions = list(_instructions(text))
    first = next(index for index, (word, _) in enumerate(instructions) if word == "FROM")
    arguments = dict(rest.partition("=")[::2] for word, rest in instructions[:first] if word == "ARG")
    stages: list[Stage] = []
    for word, rest in instructions[first:]:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name, ()))
        else:
            last = stages.pop()
            stages.append(Stage(last.base, last.name, (*last.instructions, (word, rest))))
    return Dockerfile(text, arguments, tuple(stages))


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", kept).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, " ".join(rest.split())
