"""Whom a Secret's token is for, and what the environment of a user says."""

from pathlib import Path

import pytest
from yarl import URL

from berth_api.errors import InvalidSpec
from berth_store.errors import SourceUnauthorized
from berth_store.sources.access import ENV_SECRET, SourceAccess, read_secret

HUB = URL("https://huggingface.co")


@pytest.mark.parametrize(
    ("host", "url", "sent"),
    [
        ("huggingface.co", "https://huggingface.co", True),
        ("HuggingFace.co:443", "https://huggingface.co", True),
        ("a.example,huggingface.co", "https://huggingface.co", True),
        ("huggingface.co", "https://huggingface.co:8443", False),
        ("huggingface.co:8443", "https://huggingface.co:8443", True),
        ("huggingface.co", "http://huggingface.co:443", False),
        ("huggingface.co", "https://evil-huggingface.co", False),
        ("huggingface.co", "https://huggingface.co.evil.example", False),
        ("https://huggingface.co", "https://huggingface.co", False),
        ("*", "https://huggingface.co", False),
        ("[::1]:9000", "http://[::1]:9000", True),
        ("", "https://huggingface.co", False),
    ],
)
def test_a_token_is_for_the_very_hosts_that_are_named(host: str, url: str, sent: bool) -> None:
    access = SourceAccess(secret={"host": host, "token": "t"})
    for login in (access.hub_login(URL(url)), access.web_login(URL(url))):
        assert bool(login.headers) is sent
        assert login.advice


def test_a_secret_takes_the_place_of_the_environment() -> None:
    access = SourceAccess(hub_token="mine", secret={"host": "other.example", "token": "t"})
    assert access.hub_login(HUB).headers == {}
    assert SourceAccess(hub_token="mine").hub_login(HUB).headers == {"Authorization": "Bearer mine"}


@pytest.mark.parametrize("token", ["two words", "a\r\nX-Evil: 1", "tökén"])
def test_a_token_that_could_break_a_header_is_refused_and_not_shown(token: str) -> None:
    access = SourceAccess(secret={"host": "huggingface.co", "token": token})
    with pytest.raises(SourceUnauthorized, match="token holds characters that no token has") as refused:
        access.hub_login(HUB)
    assert token not in str(refused.value)


def test_nothing_secret_is_shown_by_accident() -> None:
    access = SourceAccess.from_environment(
        {
            "HF_TOKEN": "hf_s3cret",
            "AWS_ACCESS_KEY_ID": "AKID",
            "AWS_SECRET_ACCESS_KEY": "s3cret",
            "AWS_SESSION_TOKEN": "s3cret",
        }
    )
    shown = f"{access!r} {access.hub_login(HUB)!r} {SourceAccess(secret={'host': 'h', 'token': 's3cret'})!r}"
    assert "s3cret" not in shown


def test_one_key_of_two_is_a_mistake_that_is_told() -> None:
    with pytest.raises(SourceUnauthorized, match="needs both keys, accessKeyId and secretAccessKey, or neither"):
        SourceAccess(secret={"accessKeyId": "AKID"}).bucket_login()


def test_the_keys_of_a_mounted_secret_are_read_without_the_newline_that_editors_leave(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_x\n")
    (tmp_path / "other").write_text("not ours")
    assert read_secret(tmp_path) == {"token": "hf_x"}
    assert read_secret(tmp_path / "nowhere") == {}
    (tmp_path / "host").mkdir()
    with pytest.raises(InvalidSpec, match=r"spec\.source\.secretRef: its key `host` can't be read"):
        SourceAccess.from_environment({ENV_SECRET: str(tmp_path)})
