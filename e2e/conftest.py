"""One story on one cluster: installed into an empty one, used, broken, upgraded, taken away.

The modules run in the order of STORY, each test one rule; what a test leaves behind is named in its module's docstring.
"""

import os
import shutil
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from tools import REPOSITORY, required

from berth_store.local import Store
from berth_store.reference import Reference
from e2e.cluster.namespaces import INSIDE
from e2e.cluster.node import Node
from e2e.support.audit import AuditLog
from e2e.support.client_pod import ClientPod
from e2e.support.failure_report import build_report
from e2e.support.fake_nodes import join_nodes
from e2e.support.formats import begin_formats
from e2e.support.manifests import a_namespace, apply
from e2e.support.objects import MODELS, ROUTES, Objects, is_true
from e2e.support.programs import berth, berth_environment, kubectl, run
from e2e.support.registry import has
from e2e.support.release import NAMESPACE, Release
from e2e.support.starts import Starts
from e2e.support.until import until

STORY = (
    "test_first_answer",
    "test_scale",
    "test_gpu_nodes",
    "test_bad_edits",
    "test_formats",
    "test_bad_sources",
    "test_conditions",
    "test_caches",
    "test_deletion",
    "test_leader",
    "test_upgrade",
    # It takes the API server away: for some seconds after, the kubelet has not heard of what is deleted.
    "test_gateway",
    "test_kills",
    "test_quiet",
    "test_rights",
    # By `make nightly` alone, on a cluster of its own.
    "test_vllm",
    "test_vllm_group",
)
MODELS_NAMESPACE = "team-a"
HOW = "run `make e2e`, which makes a cluster and runs this inside"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: STORY.index(item.path.stem) if item.path.stem in STORY else -1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo is not None and INSIDE in os.environ:
        report.sections.extend(build_report())
    return report


@pytest.fixture(scope="session", autouse=True)
def node() -> Node:
    """The cluster, in whose namespaces we run."""
    if INSIDE not in os.environ:
        refuse = pytest.fail if "cluster" in required() else pytest.skip
        refuse(f"not inside a cluster: {HOW}")
    return Node.from_environment()


@pytest.fixture(scope="session")
def objects(node: Node) -> Objects:
    return Objects()


@pytest.fixture(scope="session")
def log(node: Node) -> AuditLog:
    return AuditLog(node.audit_log)


@pytest.fixture(scope="session")
def release(node: Node, objects: Objects) -> Release:
    """Berth, installed by its chart."""
    assert node.images, "the registry is empty: run `make images`"
    join_nodes(node, objects)
    apply(a_namespace(NAMESPACE))
    release = Release(objects, node.images)
    release.ensure()
    return release


@pytest.fixture(scope="session")
def client(node: Node, release: Release) -> ClientPod:
    """The official client, in a namespace that is neither Berth's nor the models'."""
    return ClientPod(node.images["client"])


@pytest.fixture(scope="session")
def pushed(node: Node, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Both models of the quick start in the cluster's registry, by `berth push`: from old source to new."""
    moved = {source: f"{node.registry}/ai/{source.removeprefix('oci://localhost/')}" for source in quickstart_sources()}
    if not all(has(reference) for reference in moved.values()):  # else by an earlier part of the story
        push_quickstart(moved, tmp_path_factory.mktemp("berth"), node.registry)
    return {source: f"oci://{reference}" for source, reference in moved.items()}


def push_quickstart(moved: dict[str, str], home: Path, registry: str) -> None:
    environment = berth_environment(home, registry)
    run(sys.executable, "-m", "examples.quickstart.prepare", seconds=240, environment=environment).checked()
    store = Store(home / "store")
    for source, reference in moved.items():
        digest = store.resolve(Reference.parse(source))
        assert digest is not None, f"`prepare` did not make {source}"
        store.tag(Reference.parse(reference), digest)
        berth("push", reference, environment=environment)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def quickstart(
    release: Release, pushed: dict[str, str], objects: Objects, tmp_path_factory: pytest.TempPathFactory
) -> Starts:
    """The quick start's manifests as they are in the repository, but for where the weights are; applied and Ready."""
    text = quickstart_text()
    for source, moved in pushed.items():
        text = text.replace(source, moved)
    file = tmp_path_factory.mktemp("quickstart") / "quickstart.yaml"
    file.write_text(text)
    apply(a_namespace(MODELS_NAMESPACE))
    starts = Starts(objects, MODELS_NAMESPACE)
    kubectl("apply", "-n", MODELS_NAMESPACE, "-f", str(file))
    starts.wait("smollm2", "minilm", seconds=240)
    until(
        lambda: is_true(objects.read(ROUTES, MODELS_NAMESPACE, "chat"), "Programmed"),
        seconds=30,
        what="every gateway has the route",
        seen=lambda: objects.read(ROUTES, MODELS_NAMESPACE, "chat")["status"],
    )
    return starts


@pytest.fixture(scope="session")
def formats(
    release: Release, node: Node, pushed: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Future[None]]:
    """The Models of `test_formats`. A module before it begins them, so that they start while other rules are told."""
    (gguf,) = [uri for uri in pushed.values() if "smollm2" in uri]
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(begin_formats, node.registry, gguf, tmp_path_factory.mktemp("formats"))


def quickstart_text() -> str:
    return Path(REPOSITORY / "examples/quickstart.yaml").read_text(encoding="utf-8")


def quickstart_sources() -> list[str]:
    documents = yaml.safe_load_all(quickstart_text())
    return [document["spec"]["source"]["uri"] for document in documents if document["kind"] == MODELS.kind]
