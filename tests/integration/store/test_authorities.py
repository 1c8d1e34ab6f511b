"""Sources behind a private authority, from the operator's manifests to a connection that is trusted."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from fetch_process import run_resolver, start_loader
from gguf_builders import LLAMA_TENSORS, gguf, llama_metadata
from lying_web import FakeWeb
from model_builders import a_model
from mounted import mount_into
from operator_builders import some_settings

from berth_operator.children.resolver_job import build_resolver_job
from berth_operator.resolution import Question
from berth_operator.settings import CABundle, ConfigMapKey, Loader, OperatorSettings

pytestmark = pytest.mark.timeout(60)
CONTENT = bytes(gguf(llama_metadata(), LLAMA_TENSORS).content)
WITH_BUNDLE = some_settings(loader=Loader(ca_bundle=CABundle(config_map=ConfigMapKey(name="authorities"))))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificates(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@asynccontextmanager
async def serving(authority: trustme.CA) -> AsyncIterator[FakeWeb]:
    site = FakeWeb({"/model.gguf": CONTENT})
    site.certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(site.certificate)
    async with site:
        yield site


def environment(
    folder: Path, uri: str, settings: OperatorSettings, *, secret: str = "", **objects: dict[str, str]
) -> dict[str, str]:
    """What the resolver of such a Model has in its pod, which a loader has as well."""
    source: dict[str, Any] = {"uri": uri, **({"secretRef": {"name": secret}} if secret else {})}
    question = Question(a_model("m", source=source))
    pod = build_resolver_job(question, 1, settings)["spec"]["template"]["spec"]
    return mount_into(folder, pod, pod["containers"][0], objects)


async def test_a_bundle_of_the_installation_is_trusted_by_resolver_and_loader(
    tmp_path: Path, authority: trustme.CA, certificates: str
) -> None:
    async with serving(authority) as site:
        uri = site.uri("/model.gguf")
        environ = environment(tmp_path, uri, WITH_BUNDLE, authorities={"ca.crt": certificates})
        status, word = await run_resolver(tmp_path, uri, environ=environ)
        assert status == 0, word
        async with start_loader(tmp_path, uri, "--digest", word["artifact"]["digest"], environ=environ) as loader:
            assert await loader.ended() == 0, loader.last_word()
        assert (loader.model / "model.gguf").read_bytes() == CONTENT


async def test_the_secret_of_the_source_may_bring_its_authority(
    tmp_path: Path, authority: trustme.CA, certificates: str
) -> None:
    async with serving(authority) as site:
        uri = site.uri("/model.gguf")
        login = {"host": site.authority, "token": "t", "ca.crt": certificates}
        environ = environment(tmp_path, uri, some_settings(), secret="login", login=login)
        status, word = await run_resolver(tmp_path, uri, environ=environ)
        assert status == 0, word
        assert "Bearer t" in site.sent("authorization")
