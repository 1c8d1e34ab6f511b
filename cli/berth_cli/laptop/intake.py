"""The manifests that an instance serves: groups of sources in the order in which they were applied.

Called by the control socket (`apply`) and by the file watch (`reread`). A group that can't be read keeps the objects it
had, so that a bad edit takes nothing away from what serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from berth_cli.manifests.merge import merge_readings
from berth_cli.manifests.problem import InvalidManifests, Problem
from berth_cli.manifests.read import Check, Reading, read_manifests
from berth_cli.manifests.source import Source, read_source


@dataclass(frozen=True)
class _Group:
    sources: tuple[Source, ...]
    reading: Reading


class Intake:
    """Keeps the groups; `reading` is what they say together."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._groups: tuple[_Group, ...] = ()

    @property
    def reading(self) -> Reading:
        """All objects, later groups over earlier ones."""
        return merge_readings([group.reading for group in self._groups])

    @property
    def sources(self) -> tuple[Source, ...]:
        """All sources, to be watched."""
        return tuple(source for group in self._groups for source in group.sources)

    def apply(self, sources: Sequence[Source]) -> None:
        """Takes over sources as the newest group. Raises `InvalidManifests`, and then changes nothing."""
        group = _Group(tuple(sources), self._read(sources))
        again = {source.path for source in sources if source.path}
        earlier = (_without(group, again) for group in self._groups)
        self._groups = (*(group for group in earlier if group.sources), group)

    def reread(self) -> InvalidManifests | None:
        """Reads all files again; returns what is wrong in those groups that stay as they were."""
        problems: list[Problem] = []
        groups: list[_Group] = []
        for group in self._groups:
            try:
                groups.append(replace(group, reading=self._read(group.sources)))
            except InvalidManifests as error:
                problems += error.problems
                groups.append(group)
        self._groups = tuple(groups)
        return InvalidManifests(problems) if problems else None

    def _read(self, sources: Sequence[Source]) -> Reading:
        return read_manifests([text for source in sources for text in read_source(source)], check=self._check)


def _without(group: _Group, paths: set[str]) -> _Group:
    sources = tuple(source for source in group.sources if source.path not in paths)
    return group if len(sources) == len(group.sources) else replace(group, sources=sources)
