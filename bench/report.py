"""Draw results as Markdown and put them between the markers of docs/performance.md. Pure.

A table stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`; what is written around them is left
alone.
"""

from collections.abc import Mapping

from bench.pairs import median
from bench.result import Better, Fact, Figure, NotRun, Result
from bench.rounds import MINIMUM_PAIRS

HEADER = (
    "| what | unit | ours | peer | ours ÷ peer | 95 % interval | pairs | aim |",
    "|---|---|---:|---:|---:|---|---:|---|",
)


class NoMarker(ValueError):  # noqa: N818 - reads as what is wrong
    """The document has no place for a result."""


def replace_between_markers(document: str, name: str, content: str) -> str:
    """The document with `content` between the markers of `name`; raises `NoMarker` where they are missing."""
    opening, closing = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    before, found_opening, rest = document.partition(opening)
    _, found_closing, after = rest.partition(closing)
    if not (found_opening and found_closing):
        raise NoMarker(f"no place for {name}: write {opening} and {closing} into the document")
    return f"{before}{opening}\n{content.strip()}\n{closing}{after}"


def render_result(result: Result, run: Mapping[str, str]) -> str:
    """The table of one result, what was not run, the facts beside it, and what it ran on; `run` describes the run."""
    parts = []
    if result.figures or result.not_run:
        rows = [_figure_row(each) for each in result.figures] + [_not_run_row(each) for each in result.not_run]
        parts.append("\n".join([*HEADER, *rows]))
    if result.facts:
        parts.append("Beside it (medians):\n\n" + "\n".join(_fact_line(each) for each in result.facts))
    parts.append(_sentence("Settings", result.settings))
    parts.append(_sentence("Versions", result.versions))
    parts.append(_sentence("Run", run))
    return "\n\n".join(part for part in parts if part)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _figure_row(figure: Figure) -> str:
    ours, peer = (median([pair[side] for pair in figure.pairs]) for side in (0, 1))
    interval = figure.interval
    return _row(
        f"{figure.name}, beside {figure.peer}",
        figure.unit,
        number(ours),
        number(peer),
        f"**{figure.ratio:.3f}**",
        "too few pairs" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}",
        f"{len(figure.pairs)}" + ("" if len(figure.pairs) >= MINIMUM_PAIRS else " (too few)"),
        _aim_text(figure),
    )


def _not_run_row(not_run: NotRun) -> str:
    return _row(not_run.name, "", "", "", f"not run: {not_run.why}", "", "", "")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _aim_text(figure: Figure) -> str:
    if figure.aim is None:
        return "lower is better" if figure.better is Better.LOWER else ""
    sign = "≥" if figure.better is Better.HIGHER else "≤"
    return f"{sign} {figure.aim:g}, {'met' if figure.aim_met else 'not met'}"


def _fact_line(fact: Fact) -> str:
    return f"- {fact.name}: {number(fact.value)} {fact.unit}"


def _sentence(title: str, values: Mapping[str, str]) -> str:
    return f"{title}: " + "; ".join(f"{name} {value}" for name, value in values.items()) + "." if values else ""
