"""The command line that the chart writes."""

from pathlib import Path

import pytest

from berth_gateway.arguments import Options, parse_arguments

NEEDED = ["--namespace", "berth-system", "--run-dir", "/run/berth"]


def parse(*more: str) -> Options:
    return parse_arguments([*NEEDED, *more])


def refusal(*argv: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(argv)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_little_has_to_be_said() -> None:
    options = parse()
    assert (options.namespace, options.settings.run_dir) == ("berth-system", Path("/run/berth"))
    assert (options.settings.host, options.settings.port, options.agent_port) == ("0.0.0.0", 8080, 8081)
    assert (options.watch_namespaces, options.bare_names, options.drain_timeout_seconds) == ((), (), 120)


def test_namespaces_are_given_one_by_one_or_together_and_count_once() -> None:
    assert parse("--watch-namespace", "a", "--watch-namespace", "b", "--watch-namespace", "a").watch_namespaces == (
        "a",
        "b",
    )
    assert parse("--bare-names", "a", "b", "--bare-names", "c", "a").bare_names == ("a", "b", "c")


def test_all_the_rest() -> None:
    options = parse(
        *("--host", "::", "--port", "80", "--agent-port", "81", "--drain-timeout", "2.5"),
        *("--access-log", "/dev/stdout", "--log-level", "warning"),
    )
    assert (options.settings.host, options.settings.port, options.agent_port) == ("::", 80, 81)
    assert (options.drain_timeout_seconds, options.settings.access_log, options.log_level) == (
        2.5,
        "/dev/stdout",
        "warning",
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--port", "8081"], "need a port each"),
        (["--port", "0"], "ports are 1 to 65535"),
        (["--agent-port", "http"], "invalid"),
        (["--drain-timeout", "0"], "above 0"),
        (["--drain-timeout", "nan"], "above 0"),
        (["--run-dir", "/" + "long/" * 30], "too long for a Unix socket"),
        (["--log-level", "loud"], "loud"),
        (["--unknown"], "--unknown"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_a_sentence(
    more: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refusal(*NEEDED, *more, capsys=capsys)


def test_what_must_be_given_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--namespace" in refusal("--run-dir", "/run/berth", capsys=capsys)
