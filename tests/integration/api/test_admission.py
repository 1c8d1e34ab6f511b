"""The two tables of manifests against a real API server with our CRDs: what it refuses, and what comes back.

`kubectl` asks for strict validation, and so does every request here.
"""

import json
import re
import urllib.error
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from api_server import CRDS, ApiServer, running_api_server
from manifest_tables import BAD, GOOD, document

from berth_api.crd import build_crds
from berth_api.manifest import parse_object

pytestmark = pytest.mark.needs("kube")

NAMESPACE = "default"
REFUSED = [entry for entry in BAD if entry.get("admission", True) is True]
ONLY_OURS = [entry for entry in BAD if entry.get("admission", True) is not True]
TAKEN_IN = [entry for entry in GOOD if entry.get("admission", True) is True]

# How the API server says, in its own words, what would have been right.
ITS_REMEDIES = re.compile(
    r"must be of type|supported values: |should be (greater|less) than or equal to \d|Required value"
    r"|should have at least \d|must have at most \d|Too long: may not be more than \d|Duplicate value: "
    r"|unknown field \"|must be (Model|ModelRoute)|expected API version \(berth\.dev/v1alpha1\)|'Kind' is missing"
    r"|of type string|cannot unmarshal string into Go value of type v1\.ObjectMeta"
)
# The envelope is read before anything is known of our fields, so its parts go by the names of Go's types there.
ITS_NAMES = {
    "apiVersion": ("apiVersion", "API version"),
    "kind": ("kind", "'Kind'"),
    "metadata": ("metadata", "ObjectMeta"),
}


def rule_messages(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from rule_messages(part)


OUR_REMEDIES = frozenset(rule_messages(build_crds()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("api-server"), crds=[CRDS]) as running:
        yield running


def create(server: ApiServer, manifest: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A strict create that is not stored, so that every entry finds the server empty: the status, and the answer."""
    plural = "modelroutes" if manifest.get("kind") == "ModelRoute" else "models"
    path = f"/apis/berth.dev/v1alpha1/namespaces/{NAMESPACE}/{plural}?fieldValidation=Strict&dryRun=All"
    try:
        return HTTPStatus.CREATED, server.ask(path, method="POST", body=manifest)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def in_our_namespace(manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    return {**manifest, "metadata": metadata}


@pytest.mark.parametrize("entry", REFUSED, ids=lambda entry: entry["what"])
def test_the_api_server_refuses_with_the_field_and_what_would_be_right(
    server: ApiServer, entry: dict[str, Any]
) -> None:
    status, answer = create(server, document(entry))
    assert status in (400, 422), answer
    message = answer["message"]
    assert names(entry["path"], message), message
    assert ITS_REMEDIES.search(message) or any(words in message for words in OUR_REMEDIES), message


def names(path: str, message: str) -> bool:
    """Whether the message has the field; keys of maps are written `.key`, `[key]` or `["key"]`."""
    return any(one_spelling(name) in one_spelling(message) for name in ITS_NAMES.get(path, (path,)))


def one_spelling(text: str) -> str:
    return re.sub(r'(?<=\w)\["?([^]"\d][^]"]*)"?\]', r".\1", text)


@pytest.mark.parametrize("entry", ONLY_OURS, ids=lambda entry: entry["what"])
def test_what_only_berth_can_refuse_is_taken_in(server: ApiServer, entry: dict[str, Any]) -> None:
    status, answer = create(server, document(entry))
    assert status == HTTPStatus.CREATED, answer
    if entry["admission"] == "drops":
        assert f'"{entry["path"].rpartition(".")[2]}"' not in json.dumps(answer["spec"])


@pytest.mark.parametrize("entry", TAKEN_IN, ids=lambda entry: entry["what"])
def test_a_good_manifest_comes_back_as_it_was_sent(server: ApiServer, entry: dict[str, Any]) -> None:
    sent = in_our_namespace(document(entry))
    status, stored = create(server, sent)
    assert status == HTTPStatus.CREATED, stored
    assert list(lost(sent["spec"], stored["spec"], "spec")) == []
    assert parse_object(stored).spec == parse_object(sent).spec


def lost(sent: Any, stored: Any, path: str) -> Iterator[str]:
    """Every place where what was sent is missing or another; what the server adds are defaults."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        for name, value in sent.items():
            if value is not None:
                yield from lost(value, stored.get(name), f"{path}.{name}")
    elif isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        for index, (one, other) in enumerate(zip(sent, stored, strict=True)):
            yield from lost(one, other, f"{path}[{index}]")
    elif sent != stored:
        yield f"{path}: {sent!r} became {stored!r}"


def test_a_file_of_a_laptop_is_refused_with_what_a_cluster_has(server: ApiServer) -> None:
    status, answer = create(server, document({"model": {"source": {"uri": "file:///models/a.gguf"}}}))
    assert status == 422
    assert "spec.source.uri" in answer["message"]
    assert "a cluster has no files of yours; use `pvc://claim/path`" in answer["message"]
