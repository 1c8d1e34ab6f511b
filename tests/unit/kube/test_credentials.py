"""Where credentials come from, and how they stay fresh."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
import yaml

from berth_api.errors import FieldError, InvalidSpec
from berth_kube.credentials import Credentials, find_credentials, read_service_account
from berth_kube.login import Login


class Source:
    """Logins that a test replaces."""

    def __init__(self, login: Login) -> None:
        self.login: Login | None = login
        self.reads = 0
        self.seconds = 0.0

    def read(self) -> Login:
        self.reads += 1
        if self.login is None:
            raise InvalidSpec(FieldError("token", "it can't be read", "write it"))
        return self.login

    def credentials(self) -> Credentials:
        return Credentials(self.read, now=lambda: self.seconds)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def login(authority: trustme.CA) -> Callable[[str], Login]:
    text = authority.cert_pem.bytes().decode()
    return lambda token: Login("https://server", token=token, authority=text)


def test_files_are_read_again_each_minute(login: Callable[[str], Login]) -> None:
    source = Source(login("old"))
    credentials = source.credentials()
    assert credentials.access().token == "old"
    source.login = login("new")
    source.seconds = 59
    assert credentials.access().token == "old"
    source.seconds = 61
    assert (credentials.access().token, source.reads) == ("new", 2)


def test_files_are_read_at_once_when_the_server_refuses(login: Callable[[str], Login]) -> None:
    source = Source(login("old"))
    credentials = source.credentials()
    credentials.access()
    source.login = login("new")
    credentials.forget()
    assert credentials.access().token == "new"


def test_a_new_token_leaves_open_connections_as_they_are(login: Callable[[str], Login]) -> None:
    source = Source(login("old"))
    credentials = source.credentials()
    before = credentials.access()
    source.login, source.seconds = login("new"), 61
    assert credentials.access().tls is before.tls


def test_a_new_authority_opens_others(login: Callable[[str], Login]) -> None:
    source = Source(login("old"))
    credentials = source.credentials()
    before = credentials.access()
    source.login = Login("https://server", authority=trustme.CA().cert_pem.bytes().decode())
    source.seconds = 61
    assert credentials.access().tls is not before.tls


def test_a_file_that_is_being_replaced_is_no_reason_to_fail(login: Callable[[str], Login]) -> None:
    source = Source(login("old"))
    credentials = source.credentials()
    credentials.access()
    source.login, source.seconds = None, 61
    assert credentials.access().token == "old"
    credentials.forget()
    with pytest.raises(InvalidSpec, match="token: it can't be read"):
        credentials.access()


def test_damaged_certificates_are_named() -> None:
    login = Login("https://server", authority="no certificate", origin="/home/me/.kube/config")
    with pytest.raises(InvalidSpec, match=r"/home/me/\.kube/config: certificate or key is damaged"):
        Source(login).credentials().access()


def test_a_client_certificate_is_loaded_from_text(authority: trustme.CA) -> None:
    own = authority.issue_cert("client.invalid")
    chain = b"".join(blob.bytes() for blob in own.cert_chain_pems).decode()
    login = Login("https://server", certificate=chain, key=own.private_key_pem.bytes().decode())
    assert Source(login).credentials().access().tls is not None
    with pytest.raises(InvalidSpec, match="don't belong together"):
        Source(Login("https://server", certificate=chain)).credentials().access()


def test_a_token_is_not_shown(login: Callable[[str], Login]) -> None:
    assert "secret" not in repr(Source(login("secret")).credentials().access())


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("the authority")
    (tmp_path / "token").write_text("secret\n")
    login = read_service_account("fd00::1", "443", tmp_path)
    assert (login.server, login.token, login.authority) == ("https://[fd00::1]:443", "secret", "the authority")


def test_a_pod_without_a_service_account_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"ca\.crt.*automountServiceAccountToken"):
        read_service_account("10.0.0.1", "443", tmp_path)


def test_kubeconfig_goes_before_the_pods_own_and_that_before_home(tmp_path: Path) -> None:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "http://from-a-file"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / ".kube/config"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(document))
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOME": str(tmp_path)}
    assert find_credentials({"KUBECONFIG": str(file), **pod}).access().server == "http://from-a-file"
    assert find_credentials({"HOME": str(tmp_path)}).access().server == "http://from-a-file"
    with pytest.raises(InvalidSpec, match="serviceaccount"):
        find_credentials(pod).access()
