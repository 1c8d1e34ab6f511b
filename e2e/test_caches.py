"""Where weights lie: a claim that Models share, one of a Model's own, an image, or a claim that had them already.

Leaves nothing.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from berth_kube.resources import DAEMON_SETS, PERSISTENT_VOLUME_CLAIMS, PODS
from e2e.cluster.node import Node
from e2e.support.client_pod import ClientPod
from e2e.support.emptied import remove_namespace
from e2e.support.images import push_image
from e2e.support.manifests import a_model, a_namespace, apply
from e2e.support.objects import MODELS, Json, Objects, condition_of, uid_of
from e2e.support.programs import kubectl
from e2e.support.release import Release
from e2e.support.starts import Starts
from e2e.support.until import until

NAMESPACE = "caching"
FOLDER = Path("/var/lib/berth-caches")
USER = 65532
CLASS = "prepared-by-hand"
PREFETCHED = {"type": "ImageVolume", "prefetch": True}
SHARED = {"type": "Claim", "claim": {"claimName": "shared"}}


@pytest.fixture(scope="module", autouse=True)
def namespace(release: Release, objects: Objects) -> Iterator[None]:
    volumes = [a_volume("shared"), a_volume("given"), a_volume("owned", claim="owned-cache")]
    apply(a_namespace(NAMESPACE), *volumes, a_claim("shared"), a_claim("given"))
    yield
    remove_namespace(objects, NAMESPACE)
    kubectl("delete", *(f"persistentvolume/{volume['metadata']['name']}" for volume in volumes), "--wait=false")
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(scope="module")
def source(pushed: dict[str, str]) -> str:
    (found,) = [uri for uri in pushed.values() if "minilm" in uri]
    return found


def a_volume(name: str, claim: str = "") -> Json:
    """A volume in a folder of the node, for the claim of that name or another."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, USER, USER)
    spec = {
        "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": CLASS,
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": str(folder), "type": "Directory"},
        "claimRef": {"namespace": NAMESPACE, "name": claim or name},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def a_claim(name: str) -> Json:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": CLASS,
        "volumeName": name,
        "resources": {"requests": {"storage": "2Gi"}},
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def an_owned_claim(size: str, policy: str) -> Json:
    claim = {"size": size, "storageClassName": CLASS, "deletionPolicy": policy}
    return {"type": "OwnedClaim", "ownedClaim": claim}


def blobs_of(volume: str) -> dict[str, tuple[int, int]]:
    """Each blob of the volume with what tells that it was not written anew."""
    folder = FOLDER / volume / "berth/store/blobs/sha256"
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def is_held(model: str) -> bool:
    (hold,) = (FOLDER / "shared/berth/store/holds").glob(f"*.{model}")
    with hold.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def pods_of(objects: Objects, model: str) -> list[Json]:
    return objects.items(PODS, NAMESPACE, f"berth.dev/model={model},app.kubernetes.io/component=engine")


def start(objects: Objects, *names: str) -> Starts:
    starts = Starts(objects, NAMESPACE)
    starts.wait(*names, seconds=120)
    return starts


def embeds(client: ClientPod, name: str) -> bool:
    asked = f"client.embeddings.create(model='{NAMESPACE}/{name}', input='a cat', encoding_format='float')"
    return bool(client.ask(f"say(len({asked}.data[0].embedding))") == 384)


@pytest.fixture(scope="module")
def started(objects: Objects, source: str) -> Starts:
    """A Model on the shared claim, and one on a claim of its own that is retained."""
    apply(
        a_model("one", NAMESPACE, source={"uri": source}, cache=SHARED),
        a_model("owned", NAMESPACE, source={"uri": source}, cache=an_owned_claim("2Gi", "Retain")),
    )
    return start(objects, "one", "owned")


@pytest.fixture(scope="module")
def left(objects: Objects, started: Starts) -> Json:
    """How things stood before both of them were deleted, and their pods had gone."""
    claim = objects.read(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "owned-cache")
    before = {"shared": blobs_of("shared"), "owned": blobs_of("owned"), "claim": uid_of(claim)}
    kubectl("delete", "model/one", "model/owned", "-n", NAMESPACE)
    until(lambda: not [*pods_of(objects, "one"), *pods_of(objects, "owned")], seconds=30, what="their pods are gone")
    return before


def test_the_second_model_on_a_claim_fetches_nothing(objects: Objects, started: Starts, source: str) -> None:
    fetched = blobs_of("shared")
    apply(a_model("two", NAMESPACE, source={"uri": source}, cache=SHARED))
    start(objects, "two")
    assert blobs_of("shared") == fetched
    assert is_held("one")
    assert is_held("two")


def test_a_model_that_goes_lets_go_and_takes_nothing_from_the_other(left: Json, client: ClientPod) -> None:
    assert not is_held("one")
    assert is_held("two")
    assert blobs_of("shared") == left["shared"]
    assert embeds(client, "two")


def test_a_quota_that_would_be_passed_is_told_and_nothing_is_fetched(objects: Objects, pushed: dict[str, str]) -> None:
    (large,) = [uri for uri in pushed.values() if "smollm2" in uri]
    before = blobs_of("shared")
    apply(a_model("bound", NAMESPACE, source={"uri": large}, cache={**SHARED, "quota": "1Mi"}))
    progressing = failed(objects, "bound")
    assert progressing["reason"] == "CacheQuotaExceeded", progressing
    assert "and the quota is 1,048,576; this model alone has more than that" in progressing["message"]
    assert blobs_of("shared") == before
    kubectl("delete", "model/bound", "-n", NAMESPACE)


def test_a_claim_that_is_retained_outlives_its_model_and_serves_the_next_of_its_name(
    objects: Objects, left: Json, source: str
) -> None:
    assert "deletionTimestamp" not in objects.read(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "owned-cache")["metadata"]
    apply(a_model("owned", NAMESPACE, source={"uri": source}, cache=an_owned_claim("2Gi", "Delete")))
    start(objects, "owned")
    assert uid_of(objects.read(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "owned-cache")) == left["claim"]
    assert blobs_of("owned") == left["owned"]


def test_a_claim_that_may_not_shrink_is_a_condition_and_the_model_serves_on(objects: Objects, source: str) -> None:
    before = [uid_of(pod) for pod in pods_of(objects, "owned")]
    apply(a_model("owned", NAMESPACE, source={"uri": source}, cache=an_owned_claim("1Gi", "Delete")))
    accepted = until(
        lambda: found if (found := condition(objects, "owned", "Accepted")) and found["status"] == "False" else None,
        seconds=5,
        what="the shrink is refused",
    )
    assert "spec.cache.ownedClaim" in accepted["message"]
    assert "PersistentVolumeClaim owned-cache" in accepted["message"]
    assert condition(objects, "owned", "Available")["status"] == "True"
    assert [uid_of(pod) for pod in pods_of(objects, "owned")] == before


@pytest.fixture(scope="module")
def image(node: Node, started: Starts) -> tuple[str, str]:
    """A container image with the model that the shared claim has: its address and digest."""
    (view,) = (FOLDER / "shared/berth").glob("sha256-*")
    files = {f"models/{path.relative_to(view)}": path.read_bytes() for path in view.rglob("*") if path.is_file()}
    return f"oci://{node.registry}/ai/minilm-image:latest", push_image(node.registry, "ai/minilm-image", files)


def test_an_image_is_on_its_nodes_before_any_pod_of_the_model(objects: Objects, image: tuple[str, str]) -> None:
    apply(a_model("imaged", NAMESPACE, source={"uri": image[0]}, cache=PREFETCHED, suspend=True))
    prefetched = until(
        lambda: found if (found := condition(objects, "imaged", "Prefetched"))["status"] == "True" else None,
        seconds=60,
        what="the node has the image",
        seen=lambda: objects.read(MODELS, NAMESPACE, "imaged").get("status"),
    )
    assert prefetched["message"] == "the image is on 1 of 1 node"
    assert pods_of(objects, "imaged") == []


def test_a_model_in_an_image_is_mounted_by_the_node(
    objects: Objects, client: ClientPod, image: tuple[str, str]
) -> None:
    uri, digest = image
    apply(a_model("imaged", NAMESPACE, source={"uri": uri}, cache=PREFETCHED))
    start(objects, "imaged")
    assert objects.read(MODELS, NAMESPACE, "imaged")["status"]["artifact"]["digest"] == digest
    (pod,) = pods_of(objects, "imaged")
    assert "berth.dev/loading" not in pod["metadata"]["labels"]
    assert embeds(client, "imaged")


def test_images_are_no_longer_kept_on_nodes_when_nobody_asks(objects: Objects, image: tuple[str, str]) -> None:
    before = [uid_of(pod) for pod in pods_of(objects, "imaged")]
    apply(a_model("imaged", NAMESPACE, source={"uri": image[0]}, cache={"type": "ImageVolume"}))
    until(
        lambda: objects.get(DAEMON_SETS, NAMESPACE, "imaged-prefetch") is None,
        seconds=10,
        what="the DaemonSet is gone",
    )
    assert [uid_of(pod) for pod in pods_of(objects, "imaged")] == before
    until(
        lambda: condition_of(objects.read(MODELS, NAMESPACE, "imaged"), "Prefetched") is None,
        seconds=10,
        what="nothing is said of nodes any more",
    )


def test_an_artifact_that_no_node_can_mount_says_so(objects: Objects, source: str) -> None:
    apply(a_model("no-image", NAMESPACE, source={"uri": source}, cache={"type": "ImageVolume"}))
    progressing = failed(objects, "no-image")
    assert progressing["reason"] == "NoModelInSource", progressing
    assert "spec.cache.type: Pod" in progressing["message"]


@pytest.fixture(scope="module")
def given(started: Starts) -> Path:
    """The folder of the claim `given` with the model that the shared claim has, put there by somebody else."""
    (view,) = (FOLDER / "shared/berth").glob("sha256-*")
    folder = FOLDER / "given/team/minilm"
    shutil.copytree(view, folder)
    return folder


def test_a_model_on_a_claim_is_read_where_it_lies(objects: Objects, client: ClientPod, given: Path) -> None:
    before = tree(given)
    apply(a_model("given", NAMESPACE, source={"uri": "pvc://given/team/minilm"}))
    start(objects, "given")
    assert embeds(client, "given")
    assert tree(given) == before
    (pod,) = pods_of(objects, "given")
    claims = [volume["persistentVolumeClaim"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    assert claims == [{"claimName": "given", "readOnly": True}]


def test_a_model_that_was_changed_on_its_claim_is_served_once_somebody_says_so(
    objects: Objects, client: ClientPod, given: Path
) -> None:
    (given / "README.md").write_text("Another one.")
    kubectl("delete", "pods", "-n", NAMESPACE, "-l", "berth.dev/model=given")
    progressing = failed(objects, "given")
    assert progressing["reason"] == "ChecksumMismatch", progressing
    assert "pvc://given/team/minilm: the files there have the digest sha256:" in progressing["message"]
    digest = progressing["message"].partition("have the digest ")[2].partition(",")[0]
    apply(a_model("given", NAMESPACE, source={"uri": "pvc://given/team/minilm", "digest": digest}))
    start(objects, "given")
    assert embeds(client, "given")


@pytest.mark.parametrize(
    ("name", "uri", "words"),
    [
        ("mislaid", "pvc://given/team/minilm2", "nothing at team/minilm2 on the claim given; it has minilm"),
        ("unclaimed", "pvc://nobodys/m", 'persistentvolumeclaim "nobodys" not found'),
    ],
)
def test_a_place_that_is_not_there_is_told(objects: Objects, given: Path, name: str, uri: str, words: str) -> None:
    apply(a_model(name, NAMESPACE, source={"uri": uri}))
    until(
        lambda: words in condition(objects, name, "Resolved").get("message", ""),
        seconds=30,
        what="the condition says what is not there",
        seen=lambda: objects.read(MODELS, NAMESPACE, name).get("status"),
    )


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_claim_goes_with_its_model(objects: Objects) -> None:
    kubectl("delete", "models.berth.dev", "--all", "-n", NAMESPACE)
    until(
        lambda: objects.get(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "owned-cache") is None,
        seconds=30,
        what="the claim is gone",
    )


def failed(objects: Objects, name: str) -> Json:
    """What is said of a start once it is given up."""
    return until(
        lambda: found if (found := condition(objects, name, "Progressing"))["status"] == "False" else None,
        seconds=40,
        what="the start is given up",
        seen=lambda: objects.read(MODELS, NAMESPACE, name).get("status"),
    )


def condition(objects: Objects, name: str, kind: str) -> Json:
    model = objects.read(MODELS, NAMESPACE, name)
    return condition_of(model, kind) or {"status": "Unknown"}
