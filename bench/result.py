"""What one measurement found, as values that become JSON and are read back for the table.

Pure. Written by `bench.__main__`, drawn by `bench.report`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from bench.pairs import Interval, median, median_interval, ratios

Sample = Mapping[str, float]
"""One run of one side: metric name -> value."""

Round = Mapping[str, Sample]
"""One run of every side, close together in time: side -> sample."""


class Better(StrEnum):
    """Which way a metric is good."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A published ratio: the same metric of two sides in each round. `aim` bounds the ratio from its good side."""

    name: str
    unit: str
    better: Better
    ours: str
    peer: str
    pairs: tuple[tuple[float, float], ...]
    aim: float | None = None

    @property
    def ratio(self) -> float:
        """The median of ours ÷ peer."""
        return median(ratios(self.pairs))

    @property
    def interval(self) -> Interval | None:
        """How sure the ratio is; None for fewer than 6 pairs."""
        return median_interval(ratios(self.pairs))

    @property
    def aim_met(self) -> bool | None:
        """True where the median is on the good side of the aim, None where there is no aim."""
        if self.aim is None:
            return None
        return self.ratio >= self.aim if self.better is Better.HIGHER else self.ratio <= self.aim


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A measured value that is no ratio: a median over the rounds, good for reading beside the ratios only."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class NotRun:
    """What was not measured, and why; there is no figure in its place."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that one measurement found."""

    bench: str
    figures: tuple[Figure, ...] = ()
    facts: tuple[Fact, ...] = ()
    not_run: tuple[NotRun, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def figure(
    rounds: Sequence[Round],
    *,
    name: str,
    metric: str,
    unit: str,
    ours: str,
    peer: str,
    better: Better = Better.HIGHER,
    aim: float | None = None,
) -> Figure:
    """Pair one metric of two sides, round by round."""
    pairs = tuple((each[ours][metric], each[peer][metric]) for each in rounds)
    return Figure(name=name, unit=unit, better=better, ours=ours, peer=peer, pairs=pairs, aim=aim)


def fact(rounds: Sequence[Round], *, name: str, metric: str, side: str, unit: str) -> Fact:
    """The median of one metric of one side."""
    return Fact(name=name, unit=unit, value=median([each[side][metric] for each in rounds]))


def to_json(result: Result) -> dict[str, Any]:
    """The result as JSON values; what can be computed from the pairs is written out for readers of the file."""
    document = asdict(result)
    for plain, each in zip(document["figures"], result.figures, strict=True):
        interval = each.interval
        plain["ratio"] = {
            "median": each.ratio,
            "interval": None if interval is None else asdict(interval),
            "pairs": len(each.pairs),
            "aim_met": each.aim_met,
        }
    return document


def from_json(document: Mapping[str, Any]) -> Result:
    """The result that `to_json` wrote; what was computed is computed again."""
    figures = tuple(
        Figure(
            name=each["name"],
            unit=each["unit"],
            better=Better(each["better"]),
            ours=each["ours"],
            peer=each["peer"],
            pairs=tuple((ours, peer) for ours, peer in each["pairs"]),
            aim=each["aim"],
        )
        for each in document["figures"]
    )
    return Result(
        bench=document["bench"],
        figures=figures,
        facts=tuple(Fact(**each) for each in document["facts"]),
        not_run=tuple(NotRun(**each) for each in document["not_run"]),
        settings=document["settings"],
        versions=document["versions"],
    )
