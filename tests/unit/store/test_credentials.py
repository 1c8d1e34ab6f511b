import base64
import json
import time
from pathlib import Path

import pytest

from berth_store.credentials import Credential, Lookup, find_credential, registry_of


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


async def found(tmp_path: Path, config: object, registry: str, *, seconds: float = 5) -> Lookup:
    path = tmp_path / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return await find_credential(path, registry, helper_timeout_seconds=seconds)


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper that a test fills in."""
    path = tmp_path / "bin" / "docker-credential-play"
    path.parent.mkdir()
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    return path


def write_helper(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://GHCR.io/v2/", "ghcr.io"),
        ("http://localhost:5000", "localhost:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_a_key_of_the_file_stands_for_a_registry(key: str, registry: str) -> None:
    assert registry_of(key) == registry


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (auth("me", "pass:word"), ("me", "pass:word", False)),
        ({"username": "me", "password": "secret"}, ("me", "secret", False)),
        ({"auth": "", "identitytoken": "token"}, ("<token>", "token", True)),
        ({"auth": "bWU6c2VjcmV0AAA="}, ("me", "secret", False)),
    ],
)
async def test_a_login_in_the_file_is_read(tmp_path: Path, entry: object, expected: tuple[str, str, bool]) -> None:
    lookup = await found(tmp_path, {"auths": {"ghcr.io": entry}}, "ghcr.io")
    assert lookup.credential is not None
    credential = lookup.credential
    assert (credential.username, credential.secret, credential.is_identity_token) == expected
    assert credential.origin == str(tmp_path / "config.json")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"auths": {}},
        {"auths": {"ghcr.io": {}}},
        {"auths": {"ghcr.io": {"auth": "not base64!"}}},
        {"auths": {"ghcr.io": {"auth": "/w=="}}},
        {"auths": {"ghcr.io": "?"}},
        {"auths": ["ghcr.io"]},
        {"auths": {"ghcr.io.evil.example": auth("me", "secret")}},
        {"auths": {"ghcr.io:5000": auth("me", "secret")}},
        {"credHelpers": {"ghcr.io": "../../bin/sh"}},
        {"credsStore": 7},
    ],
)
async def test_what_is_not_for_this_registry_or_is_odd_is_no_login(tmp_path: Path, config: object) -> None:
    assert (await found(tmp_path, config, "ghcr.io")).credential is None


@pytest.mark.parametrize("config", ["{", "[]", '"x"'])
async def test_a_broken_file_is_told_and_not_fatal(tmp_path: Path, config: str) -> None:
    lookup = await found(tmp_path, config, "ghcr.io")
    assert lookup.credential is None
    assert "config.json" in lookup.trouble


async def test_no_file_is_no_trouble(tmp_path: Path) -> None:
    assert await find_credential(tmp_path / "none.json", "ghcr.io", helper_timeout_seconds=1) == Lookup()
    assert await find_credential(None, "ghcr.io", helper_timeout_seconds=1) == Lookup()


async def test_a_registrys_own_helper_goes_before_the_store(tmp_path: Path, helper: Path) -> None:
    write_helper(helper, """read server; echo '{"Username": "'$server'", "Secret": "s"}'""")
    lookup = await found(tmp_path, {"credHelpers": {"ghcr.io": "play"}, "credsStore": "gone"}, "ghcr.io")
    assert lookup == Lookup(Credential("ghcr.io", "s", origin="docker-credential-play"))


async def test_a_helper_is_asked_for_docker_hub_by_the_name_that_docker_stores(tmp_path: Path, helper: Path) -> None:
    write_helper(helper, """read server; echo '{"Username": "'$server'", "Secret": "s"}'""")
    lookup = await found(tmp_path, {"credsStore": "play"}, "docker.io")
    assert lookup.credential is not None
    assert lookup.credential.username == "https://index.docker.io/v1/"


async def test_a_helper_may_give_an_identity_token(tmp_path: Path, helper: Path) -> None:
    write_helper(helper, """echo '{"Username": "<token>", "Secret": "t"}'""")
    lookup = await found(tmp_path, {"credsStore": "play"}, "ghcr.io")
    assert lookup.credential is not None
    assert lookup.credential.is_identity_token


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        ("echo 'credentials not found in native keychain'; exit 1", ""),
        ("echo 'the keychain is locked'; exit 1", "failed: the keychain is locked"),
        ("echo '{}'", "gave no credential"),
        ("echo 'no json'", "gave no credential"),
        ("exec sleep 60", "did not answer within 0.2 s"),
    ],
)
async def test_a_helper_in_trouble_is_told_and_the_file_still_counts(
    tmp_path: Path, helper: Path, script: str, trouble: str
) -> None:
    write_helper(helper, script)
    config = {"credsStore": "play", "auths": {"ghcr.io": auth("me", "inline")}}
    started = time.monotonic()
    lookup = await found(tmp_path, config, "ghcr.io", seconds=0.2 if "sleep" in script else 5)
    assert time.monotonic() - started < 10
    assert trouble in lookup.trouble
    assert (trouble == "") == (lookup.trouble == "")
    assert lookup.credential is not None
    assert lookup.credential.secret == "inline"


async def test_a_helper_that_is_not_there_is_named(tmp_path: Path, helper: Path) -> None:
    lookup = await found(tmp_path, {"credsStore": "gone"}, "ghcr.io")
    assert lookup.trouble == "the credential helper docker-credential-gone is not in PATH"


def test_a_secret_is_never_printed() -> None:
    assert "hunter2" not in repr(Lookup(Credential("me", "hunter2")))
