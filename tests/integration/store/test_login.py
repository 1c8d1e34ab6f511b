"""Every kind of login, against a real registry: who gets in, and what the ones who don't are told."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from oci_artifacts import MadeArtifact, make_artifact, random_bytes
from registry import PASSWORD, USER, RunningRegistry, TokenAuth, running_registry
from token_server import IDENTITY_TOKEN, ISSUER, SERVICE, SigningKey, TokenServer

from berth_store.errors import SourceUnauthorized
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.push import push
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy

pytestmark = pytest.mark.needs("registry")

ARTIFACT = make_artifact({"model.gguf": random_bytes(3_000_000, seed=5)})


def logged_in(folder: Path, registry: str, entry: Mapping[str, str] | None, **more: object) -> RegistryConfig:
    """Settings with a Docker config that knows `registry`."""
    path = folder / "docker.json"
    path.write_text(json.dumps({"auths": {registry: entry} if entry is not None else {}, **more}))
    return RegistryConfig(docker_config=path, chunk_bytes=1_000_000, retry=RetryPolicy(attempts=2))


def basic(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def filled(store: Store, reference: Reference, artifact: MadeArtifact = ARTIFACT) -> Store:
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(reference, artifact.digest)
    return store


async def round_trip(tmp_path: Path, running: RunningRegistry, config: RegistryConfig) -> None:
    """Push and pull it with `config`."""
    reference = running.reference("team/model:1")
    await push(filled(Store(tmp_path / "from"), reference), reference, registries=config)
    store = Store(tmp_path / "to")
    assert await pull(store, reference, registries=config) == ARTIFACT.digest
    assert find_damage(store) == ()


async def refused(tmp_path: Path, running: RunningRegistry, config: RegistryConfig) -> str:
    """What somebody is told who is not let in."""
    with pytest.raises(SourceUnauthorized) as told:
        await pull(Store(tmp_path / "to"), running.reference("team/model:1"), registries=config)
    return str(told.value)


async def test_a_password_lets_in(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        await round_trip(tmp_path, running, logged_in(tmp_path, running.address, basic(USER, PASSWORD)))


async def test_without_a_login_the_message_says_how_to_log_in(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        told = await refused(tmp_path, running, logged_in(tmp_path, running.address, None))
        assert f"no credentials were found for {running.address}; run `docker login {running.address}`" in told


async def test_a_wrong_password_is_told_with_the_file_that_it_stands_in(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        told = await refused(tmp_path, running, logged_in(tmp_path, running.address, basic(USER, "wrong")))
        assert f"the credentials from {tmp_path / 'docker.json'} do not suffice" in told


async def test_a_login_for_another_registry_is_not_used(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        other = f"127.0.0.1:{running.port + 1}"
        told = await refused(tmp_path, running, logged_in(tmp_path, other, basic(USER, PASSWORD)))
        assert "no credentials were found" in told


async def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "bin" / "docker-credential-tests"
    helper.parent.mkdir()
    answer = json.dumps({"ServerURL": "", "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat > {tmp_path}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:/usr/bin:/bin")
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        config = logged_in(tmp_path, running.address, None, credHelpers={running.address: "tests"})
        await round_trip(tmp_path, running, config)
        assert (tmp_path / "asked").read_text() == running.address


async def test_a_missing_credential_helper_is_named(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry", htpasswd=True) as running:
        told = await refused(tmp_path, running, logged_in(tmp_path, running.address, None, credsStore="gone"))
        assert "docker-credential-gone is not in PATH" in told


def with_tokens(server: TokenServer, key: SigningKey) -> TokenAuth:
    return TokenAuth(realm=server.realm, service=SERVICE, issuer=ISSUER, jwks=key.jwks)


async def test_a_token_is_got_for_a_password(tmp_path: Path) -> None:
    key = SigningKey(tmp_path / "jwks.json")
    async with TokenServer(key, users={USER: PASSWORD}) as server:
        with running_registry(tmp_path / "registry", token=with_tokens(server, key)) as running:
            await round_trip(tmp_path, running, logged_in(tmp_path, running.address, basic(USER, PASSWORD)))
        assert {each.scopes for each in server.asked} == {
            ("repository:team/model:pull,push",),
            ("repository:team/model:pull",),
        }
        assert len(server.asked) == 2, "one token for each scope, not one for each request"


async def test_an_identity_token_is_exchanged(tmp_path: Path) -> None:
    key = SigningKey(tmp_path / "jwks.json")
    async with TokenServer(key, users={}) as server:
        with running_registry(tmp_path / "registry", token=with_tokens(server, key)) as running:
            config = logged_in(tmp_path, running.address, {"identitytoken": IDENTITY_TOKEN})
            await round_trip(tmp_path, running, config)
        assert {each.form["grant_type"] for each in server.asked} == {"refresh_token"}


async def test_what_anybody_may_pull_needs_no_login(tmp_path: Path) -> None:
    key = SigningKey(tmp_path / "jwks.json")
    async with TokenServer(key, users={USER: PASSWORD}, anonymous_pull=True) as server:
        with running_registry(tmp_path / "registry", token=with_tokens(server, key)) as running:
            reference = running.reference("team/model:1")
            known = logged_in(tmp_path, running.address, basic(USER, PASSWORD))
            await push(filled(Store(tmp_path / "from"), reference), reference, registries=known)
            nobody = RegistryConfig(docker_config=tmp_path / "none.json")
            await pull(Store(tmp_path / "to"), reference, registries=nobody)
            with pytest.raises(SourceUnauthorized):
                await push(Store(tmp_path / "from"), running.reference("team/model:1"), registries=nobody)


async def test_a_password_that_the_token_server_refuses_is_told(tmp_path: Path) -> None:
    key = SigningKey(tmp_path / "jwks.json")
    async with TokenServer(key, users={USER: PASSWORD}) as server:
        with running_registry(tmp_path / "registry", token=with_tokens(server, key)) as running:
            told = await refused(tmp_path, running, logged_in(tmp_path, running.address, basic(USER, "wrong")))
    assert "wrong user or password" in told
    assert "do not suffice" in told
