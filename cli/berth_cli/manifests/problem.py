"""What is wrong in a manifest, and where: `file:line`, the field, the fault and what would be right.

Made by the readers of this package, shown by `berth_cli.failure`, and sent over the control socket when a second
`berth up` hands its files to a running one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from berth_api.errors import BerthError


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake. `line` counts from 1 and is 0 where the file as a whole is meant; `field` may be empty."""

    source: str
    line: int
    field: str
    message: str
    remedy: str = ""

    @property
    def where(self) -> str:
        """`file:line`, the form that editors and terminals turn into a link."""
        return f"{self.source}:{self.line}" if self.line else self.source

    def __str__(self) -> str:
        fault = f"{self.field}: {self.message}" if self.field else self.message
        return f"{self.where}: {fault}" + (f"\n    {self.remedy}" if self.remedy else "")


class InvalidManifests(BerthError):  # noqa: N818 - said as the finding that it is
    """At least one manifest can't be used as it stands; `problems` holds every mistake of every file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        files = len({problem.source for problem in self.problems})
        count = len(self.problems)
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        head = f"{mistakes} in the manifest" + ("s" if files > 1 else "")
        super().__init__("\n".join([f"{head}:", *(str(problem) for problem in self.problems)]))
