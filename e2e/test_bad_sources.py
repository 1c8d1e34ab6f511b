"""Sources that can't be had: each says why, in a condition that names the cause. Leaves nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from signatures import a_key, fingerprint, private_pem, public_pem

from berth_store.local import Store
from berth_store.reference import Reference
from e2e.cluster.addresses import NODE_ADDRESS
from e2e.cluster.node import Node
from e2e.support.manifests import a_model, a_namespace, apply
from e2e.support.objects import MODELS, Json, Objects, condition_of, is_true
from e2e.support.programs import berth, berth_environment, kubectl
from e2e.support.release import Release
from e2e.support.until import until

NAMESPACE = "mistaken"
WRONG = "sha256:" + "1" * 64


@pytest.fixture(scope="module", autouse=True)
def asked(release: Release, node: Node, pushed: dict[str, str]) -> Iterator[None]:
    """Models of sources that can't be had, all at once, for each waits for a Job of its own."""
    (uri,) = [uri for uri in pushed.values() if "minilm" in uri]
    sources = {
        "no-tag": {"uri": f"{uri}-gone"},
        "no-repository": {"uri": f"oci://{node.registry}/ai/nothing:1"},
        "other-digest": {"uri": uri, "digest": WRONG},
        "no-registry": {"uri": f"oci://{NODE_ADDRESS}:5999/ai/m:1"},
    }
    apply(a_namespace(NAMESPACE), *(a_model(name, NAMESPACE, source=source) for name, source in sources.items()))
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def resolved(objects: Objects, name: str, reason: str) -> Json:
    """`Resolved` once it has this reason."""
    return until(
        lambda: found if (found := resolution(objects, name)) and found["reason"] == reason else None,
        seconds=45,
        what=f"{name} is {reason}",
        seen=lambda: objects.read(MODELS, NAMESPACE, name).get("status"),
    )


def resolution(objects: Objects, name: str) -> Json | None:
    return condition_of(objects.read(MODELS, NAMESPACE, name), "Resolved")


def test_a_tag_that_is_not_there_is_named(objects: Objects) -> None:
    condition = resolved(objects, "no-tag", "SourceNotFound")
    assert condition["status"] == "False"
    assert "-gone" in condition["message"]


def test_a_repository_that_is_not_there_is_named(objects: Objects) -> None:
    assert "ai/nothing" in resolved(objects, "no-repository", "SourceNotFound")["message"]


def test_content_of_another_digest_is_refused_with_both(objects: Objects) -> None:
    assert WRONG in resolved(objects, "other-digest", "DigestMismatch")["message"]


def test_a_registry_that_does_not_answer_is_named(objects: Objects) -> None:
    assert f"{NODE_ADDRESS}:5999" in resolved(objects, "no-registry", "SourceUnreachable")["message"]


def test_a_source_that_comes_back_is_found_without_an_edit(
    objects: Objects, node: Node, pushed: dict[str, str]
) -> None:
    (uri,) = [uri for uri in pushed.values() if "minilm" in uri]
    node.kill("registry")
    try:
        apply(a_model("back-again", NAMESPACE, source={"uri": uri}, replicas=0))
        resolved(objects, "back-again", "SourceUnreachable")
    finally:
        node.start("registry")
    until(
        lambda: is_true(objects.read(MODELS, NAMESPACE, "back-again"), "Resolved"),
        seconds=60,
        what="the resolver was tried again and found it",
        seen=lambda: objects.read(MODELS, NAMESPACE, "back-again")["status"],
    )


def test_what_nobody_has_signed_is_named_and_served_once_somebody_has(
    objects: Objects, node: Node, pushed: dict[str, str], tmp_path: Path
) -> None:
    (uri,) = [uri for uri in pushed.values() if "minilm" in uri]
    there, key = f"{node.registry}/ai/signed:1", tmp_path / "key.pem"
    key.write_bytes(private_pem(a_key()))
    environment = berth_environment(tmp_path, node.registry)
    berth("pull", uri.removeprefix("oci://"), environment=environment)
    store = Store(tmp_path / "store")
    digest = store.resolve(Reference.parse(uri))
    assert digest is not None
    store.tag(Reference.parse(there), digest)
    berth("push", there, environment=environment)
    signature = {"key": {"pem": public_pem(a_key())}}
    apply(a_model("signed", NAMESPACE, source={"uri": f"oci://{there}", "signature": signature}))
    assert fingerprint(a_key()) in resolved(objects, "signed", "SignatureMissing")["message"]
    berth("push", there, "--sign-key", str(key), environment=environment)
    until(
        lambda: is_true(objects.read(MODELS, NAMESPACE, "signed"), "Ready"),
        seconds=120,
        what="the signature was found without an edit, and the model answers",
        seen=lambda: objects.read(MODELS, NAMESPACE, "signed")["status"],
    )
    artifact = objects.read(MODELS, NAMESPACE, "signed")["status"]["artifact"]
    assert artifact["signer"] == f"the key sha256:{fingerprint(a_key())}"
