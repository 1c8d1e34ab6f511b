"""What a kubeconfig means, and how its mistakes are named."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_api.errors import InvalidSpec
from berth_kube.kubeconfig import read_kubeconfig
from berth_kube.login import Login

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "other", "cluster": {"server": "https://other"}},
            {"name": "c", "cluster": {"server": "https://10.0.0.1:6443"} | (cluster or {})},
        ],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
        **top,
    }


def read(folder: Path, document: object) -> Login:
    file = folder / "config"
    file.write_text(yaml.safe_dump(document))
    return read_kubeconfig((file,))


def refusal(folder: Path, document: object) -> str:
    with pytest.raises(InvalidSpec) as caught:
        read(folder, document)
    return str(caught.value)


def test_the_current_context_chooses_server_and_user(tmp_path: Path) -> None:
    login = read(tmp_path, config({"token": "secret"}))
    assert (login.server, login.token, login.verify) == ("https://10.0.0.1:6443", "secret", True)


def test_certificates_stand_in_the_file_or_beside_it(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("the key")
    (tmp_path / "ca.pem").write_text("the authority")
    user = {"client-certificate-data": encoded(PEM), "client-key": "key.pem"}
    login = read(tmp_path, config(user, {"certificate-authority": str(tmp_path / "ca.pem")}))
    assert (login.certificate, login.key, login.authority) == (PEM, "the key", "the authority")


def test_data_goes_before_a_file(tmp_path: Path) -> None:
    user = {"client-certificate-data": encoded(PEM), "client-certificate": "/nowhere"}
    assert read(tmp_path, config(user)).certificate == PEM


def test_a_token_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert read(tmp_path, config({"tokenFile": "token"})).token == "secret"


def test_of_several_files_the_first_that_has_a_name_wins_and_paths_start_at_their_file(tmp_path: Path) -> None:
    first, second = tmp_path / "one/config", tmp_path / "two/config"
    for file in (first, second):
        file.parent.mkdir()
    (second.parent / "token").write_text("of two")
    first.write_text(yaml.safe_dump({"clusters": config()["clusters"], "users": None}))
    second.write_text(yaml.safe_dump(config({"tokenFile": "token"}, {"server": "https://second"})))
    login = read_kubeconfig((first, second, tmp_path / "missing"))
    assert (login.server, login.token) == ("https://10.0.0.1:6443", "of two")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    login = read(tmp_path, config({"token": "secret", "client-key-data": encoded("private")}))
    assert not {"secret", "private"} & set(repr(login).split("'"))


@pytest.mark.parametrize(
    ("user", "field"),
    [
        ({"exec": {"command": "aws"}}, "users[0].user.exec: programs that fetch credentials are not run"),
        ({"auth-provider": {"name": "gcp"}}, "users[0].user.auth-provider"),
        ({"username": "me", "password": "x"}, "users[0].user.username"),
        ({"as": "somebody"}, "users[0].user.as"),
        ({"client-certificate-data": "%%%"}, "users[0].user.client-certificate-data"),
        ({"client-key": "missing.pem"}, "users[0].user.client-key"),
        ({"tokenFile": "missing"}, "users[0].user.tokenFile"),
        ({"token": 12345}, "users[0].user.token"),
    ],
)
def test_a_field_of_the_user_that_is_wrong_is_named_with_its_file(
    tmp_path: Path, user: dict[str, Any], field: str
) -> None:
    assert refusal(tmp_path, config(user)).startswith(f"{tmp_path}/config: {field}")


@pytest.mark.parametrize(
    ("cluster", "field"),
    [
        ({"server": "10.0.0.1"}, "clusters[1].cluster.server"),
        ({"server": None}, "clusters[1].cluster.server"),
        ({"proxy-url": "http://proxy"}, "clusters[1].cluster.proxy-url"),
        ({"certificate-authority": "missing"}, "clusters[1].cluster.certificate-authority"),
    ],
)
def test_a_field_of_the_cluster_that_is_wrong_is_named_with_its_file(
    tmp_path: Path, cluster: dict[str, Any], field: str
) -> None:
    assert refusal(tmp_path, config(cluster=cluster)).startswith(f"{tmp_path}/config: {field}")


def test_names_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    assert "no context with the name `gone`" in refusal(tmp_path, config(**{"current-context": "gone"}))
    assert "no user with the name `u`" in refusal(tmp_path, config(users=[]))
    assert "no cluster with the name `c`" in refusal(tmp_path, config(clusters=None))
    assert "current-context: no context is chosen" in refusal(tmp_path, config(**{"current-context": ""}))


def test_what_is_no_kubeconfig_is_named(tmp_path: Path) -> None:
    assert "this is no kubeconfig" in refusal(tmp_path, ["a", "list"])
    with pytest.raises(InvalidSpec, match="there is no such file"):
        read_kubeconfig((tmp_path / "missing",))
    (tmp_path / "broken").write_text("a: [")
    with pytest.raises(InvalidSpec, match="it can't be read"):
        read_kubeconfig((tmp_path / "broken",))
