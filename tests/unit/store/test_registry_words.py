"""The small pure parts of talking to registries: challenges, retries, failures, settings, proxies."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from berth_api.errors import InvalidSpec
from berth_store.challenge import Challenge, parse_challenges
from berth_store.errors import SourceError, SourceNotFound, SourceUnauthorized, SourceUnreachable
from berth_store.failures import describe_login, registry_message, status_failure
from berth_store.registries import RegistryConfig, is_loopback
from berth_store.retry import Attempts, RetryPolicy, delay_seconds, parse_retry_after, with_retries
from berth_store.transport import proxy_for
from berth_store.upload import takes_chunks

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic", [("basic", {})]),
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://a/token",service="b, c",scope="repository:a/b:pull,push"',
            [("bearer", {"realm": "https://a/token", "service": "b, c", "scope": "repository:a/b:pull,push"})],
        ),
        ('Bearer realm="a", Basic realm="b"', [("bearer", {"realm": "a"}), ("basic", {"realm": "b"})]),
        ('Negotiate, Bearer realm = "a\\"b"', [("negotiate", {}), ("bearer", {"realm": 'a"b'})]),
        ("BEARER Realm=plain", [("bearer", {"realm": "plain"})]),
        ("", []),
        ('="', []),
    ],
)
def test_every_challenge_of_a_header_is_understood(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges([header]) == tuple(Challenge(scheme, parameters) for scheme, parameters in expected)


@given(st.text(max_size=200))
def test_any_header_is_read_without_harm(header: str) -> None:
    for challenge in parse_challenges([header]):
        assert challenge.scheme == challenge.scheme.lower()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.integers(1, 60), st.floats(0, 1))
def test_pauses_double_up_to_a_cap_and_are_never_nothing(failures: int, chance: float) -> None:
    policy = RetryPolicy(first_delay_seconds=0.5, longest_delay_seconds=15)
    pause = delay_seconds(policy, failures, chance)
    assert min(0.5 * 2 ** (failures - 1), 15) / 2 <= pause <= min(0.5 * 2 ** (failures - 1), 15)


FAST = RetryPolicy(attempts=3, first_delay_seconds=0, longest_wait_seconds=5)


async def test_what_may_pass_is_tried_again_so_often_and_no_more() -> None:
    tried = 0

    async def attempt() -> None:
        nonlocal tried
        tried += 1
        raise SourceUnreachable("busy")

    with pytest.raises(SourceUnreachable):
        await with_retries(FAST, attempt)
    assert tried == 3


@pytest.mark.parametrize(
    "error",
    [
        SourceNotFound("x"),
        SourceUnauthorized("x"),
        SourceUnreachable("x", permanent=True),
        SourceUnreachable("x", retry_after_seconds=6),
    ],
)
async def test_what_cannot_pass_is_raised_at_once(error: SourceError) -> None:
    with pytest.raises(type(error)):
        await Attempts(FAST).pause_after(error)


async def test_a_good_stretch_forgives_failures_and_a_drip_does_not() -> None:
    generous, stingy = Attempts(FAST), Attempts(FAST)
    for _ in range(20):
        generous.received(2_000_000)
        await generous.pause_after(SourceUnreachable("x"))
    for _ in range(FAST.attempts - 1):
        stingy.received(1)
        await stingy.pause_after(SourceUnreachable("x"))
    with pytest.raises(SourceUnreachable):
        await stingy.pause_after(SourceUnreachable("x"))


@pytest.mark.parametrize(
    ("status", "kind", "permanent"),
    [
        (401, SourceUnauthorized, None),
        (403, SourceUnauthorized, None),
        (404, SourceNotFound, None),
        (429, SourceUnreachable, False),
        (500, SourceUnreachable, False),
        (503, SourceUnreachable, False),
        (400, SourceUnreachable, True),
        (405, SourceUnreachable, True),
    ],
)
def test_each_status_means_something_of_its_own(status: int, kind: type[SourceError], permanent: bool | None) -> None:
    error = status_failure(status, subject="a/b:1", registry="r.example", said="DENIED no", login="log in")
    assert type(error) is kind
    assert getattr(error, "permanent", None) is permanent
    assert str(error).startswith("a/b:1: r.example ")
    assert "it says: DENIED no" in str(error)


def test_a_refusal_says_whose_credentials_were_tried() -> None:
    assert describe_login("r", origin="~/.docker/config.json", trouble="").startswith("the credentials from ~/.docker")
    assert describe_login("r", origin=None, trouble="the helper x failed").startswith("the helper x failed; no cred")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"errors": [{"code": "DENIED", "message": "no"}, {"code": "X"}]}', "DENIED no; X"),
        (b"<html>", ""),
        (b'{"errors": "x"}', ""),
        (b"[]", ""),
        (b"[" * 10_000, ""),
        (json.dumps({"errors": [{"message": "a\x1b[31m\nb" + "c" * 999}]}).encode(), "a [31m b" + "c" * 292),
    ],
)
def test_a_registrys_words_are_quoted_in_one_harmless_line(body: bytes, said: str) -> None:
    assert registry_message(body) == said


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "a.localhost"])
def test_loopback_may_speak_plain_http(host: str) -> None:
    assert is_loopback(host)
    assert RegistryConfig().allows_plain_http(host, 5000)


@pytest.mark.parametrize("host", ["ghcr.io", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0"])
def test_others_may_not_unless_they_are_listed(host: str) -> None:
    assert not RegistryConfig().allows_plain_http(host, 5000)
    assert RegistryConfig(insecure=frozenset({host})).allows_plain_http(host, 5000)
    assert RegistryConfig(insecure=frozenset({f"{host}:5000"})).allows_plain_http(host, 5000)
    assert not RegistryConfig(insecure=frozenset({f"{host}:5001"})).allows_plain_http(host, 5000)


def test_settings_come_from_the_environment() -> None:
    config = RegistryConfig.from_environment(
        {"BERTH_INSECURE_REGISTRIES": " Reg.local:5000, other ,", "DOCKER_CONFIG": "/etc/docker-config"}
    )
    assert config.insecure == {"reg.local:5000", "other"}
    assert config.docker_config == Path("/etc/docker-config/config.json")
    assert RegistryConfig.from_environment({}).docker_config == Path.home() / ".docker/config.json"


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "https://ghcr.io/v2/", None),
        ({"https_proxy": "http://p:3128"}, "https://ghcr.io/v2/", "http://p:3128"),
        ({"https_proxy": "p:3128"}, "https://ghcr.io/v2/", "http://p:3128"),
        ({"https_proxy": "http://p:3128"}, "http://ghcr.io/v2/", None),
        ({"all_proxy": "http://p:3128"}, "http://ghcr.io/v2/", "http://p:3128"),
        ({"https_proxy": "http://p:3128", "no_proxy": ".io"}, "https://ghcr.io/v2/", None),
        ({"https_proxy": "http://p:3128"}, "https://127.0.0.1:5000/v2/", None),
        ({"https_proxy": "http://me:s%40crt@p:3128"}, "https://ghcr.io/v2/", "http://p:3128"),
    ],
)
def test_proxies_are_the_environments(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(URL(url))
    assert (str(found.url) if found else None) == (f"{proxy}" if proxy else None)
    if found and "me:" in variables.get("https_proxy", ""):
        assert found.headers == {"Proxy-Authorization": "Basic bWU6c0BjcnQ="}


def test_a_proxy_of_another_kind_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://p:1080")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(InvalidSpec, match="socks5 proxies can't be used"):
        proxy_for(URL("https://ghcr.io/v2/"))


@pytest.mark.parametrize(
    ("registry", "takes"),
    [
        ("ghcr.io", False),
        ("europe-docker.pkg.dev", False),
        ("gcr.io", False),
        ("1.dkr.ecr.eu-west-1.amazonaws.com", False),
        ("docker.io", True),
        ("localhost:5000", True),
        ("notghcr.io", True),
    ],
)
def test_chunks_are_kept_from_registries_that_mishandle_them(registry: str, takes: bool) -> None:
    assert takes_chunks(registry) is takes
