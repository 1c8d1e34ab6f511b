"""Results survive JSON, and the page shows them as they are: nothing invented, nothing left out."""

import json

import pytest
from bench.report import NoMarker, number, render_result, replace_between_markers
from bench.result import Better, Fact, Figure, NotRun, Result, fact, figure, from_json, to_json

ROUNDS = tuple({"ours": {"speed": 9.0 + index}, "theirs": {"speed": 10.0}} for index in range(11))
SPEED = figure(ROUNDS, name="speed", metric="speed", unit="tokens/s", ours="ours", peer="theirs", aim=0.98)


def _figure(
    pairs: tuple[tuple[float, float], ...], *, better: Better = Better.HIGHER, aim: float | None = None
) -> Figure:
    return Figure(name="speed", unit="µs", better=better, ours="ours", peer="theirs", pairs=pairs, aim=aim)


def test_a_result_is_the_same_after_json() -> None:
    result = Result(
        bench="one",
        figures=(SPEED,),
        facts=(fact(ROUNDS, name="ours alone", metric="speed", side="ours", unit="tokens/s"),),
        not_run=(NotRun(name="nginx", why="it was not found"),),
        settings={"threads": "2"},
        versions={"berth": "0.1.0"},
    )
    assert from_json(json.loads(json.dumps(to_json(result)))) == result


def test_the_json_says_the_ratio_and_its_interval_to_whoever_reads_it() -> None:
    (plain,) = to_json(Result(bench="one", figures=(SPEED,)))["figures"]
    assert plain["ratio"]["median"] == 1.4
    assert plain["ratio"]["pairs"] == 11
    assert plain["ratio"]["interval"]["low"] < 1.4 < plain["ratio"]["interval"]["high"]
    assert plain["ratio"]["aim_met"] is True


def test_an_aim_for_a_cost_is_met_from_below() -> None:
    assert _figure(((1.0, 2.0),), better=Better.LOWER, aim=1.0).aim_met is True
    assert _figure(((3.0, 2.0),), better=Better.LOWER, aim=1.0).aim_met is False
    assert _figure(((3.0, 2.0),)).aim_met is None


def test_the_table_shows_ratio_interval_pairs_and_aim() -> None:
    text = render_result(Result(bench="one", figures=(SPEED,)), {"taken": "now"})
    row = next(line for line in text.splitlines() if line.startswith("| speed"))
    assert row == "| speed, beside theirs | tokens/s | 14 | 10 | **1.400** | 1.000 to 1.800 | 11 | ≥ 0.98, met |"
    assert "Run: taken now." in text


def test_too_few_pairs_are_called_so() -> None:
    row = render_result(Result(bench="one", figures=(_figure(((1.0, 1.0),) * 3),)), {})
    assert "| too few pairs | 3 (too few) |" in row


def test_what_was_not_run_stands_in_the_table_with_its_reason() -> None:
    why = "nginx was not found (install the package nginx-light)"
    text = render_result(Result(bench="one", not_run=(NotRun(name="nginx", why=why),)), {})
    assert f"| nginx |  |  |  | not run: {why} |  |  |  |" in text


def test_facts_are_listed_beside_the_table() -> None:
    text = render_result(Result(bench="one", facts=(Fact(name="client", value=41.27, unit="µs per token"),)), {})
    assert "- client: 41.3 µs per token" in text


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = "before\n<!-- bench:one -->\nold\n<!-- /bench:one -->\nafter <!-- bench:two -->x<!-- /bench:two -->\n"
    drawn = replace_between_markers(page, "one", "new\n")
    assert drawn == page.replace("old", "new")
    assert replace_between_markers(drawn, "one", "new") == drawn


def test_a_page_without_a_place_says_what_to_write() -> None:
    with pytest.raises(NoMarker, match="write <!-- bench:one --> and <!-- /bench:one -->"):
        replace_between_markers("<!-- bench:one --> open", "one", "new")


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (0.01234, "0.0123"), (0.0, "0"), (-0.004, "-0.004")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
