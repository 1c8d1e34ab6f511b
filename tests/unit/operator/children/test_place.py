"""Where weights lie: what `spec.cache` makes of a pod, and how the two ends of a command line agree."""

from typing import Any

import pytest
from model_builders import a_model
from operator_builders import DIGEST, Json, a_resolved_world

from berth_operator.children.claim import build_claim
from berth_operator.children.names import MODELS_PATH
from berth_operator.children.place import image_reference
from berth_store.evict import link_name
from berth_store.holds import hold_path
from berth_store.loader import check, on_claim
from berth_store.loader.arguments import parse_arguments
from berth_store.loader.load import STORE_NAME
from berth_store.reference import Reference

HEX = DIGEST.removeprefix("sha256:")
CLAIM: Json = {"type": "Claim", "claim": {"claimName": "weights"}}
IMAGE: Json = {"type": "ImageVolume"}


def owned(**more: Any) -> Json:
    return {"type": "OwnedClaim", "ownedClaim": {"size": "50Gi", **more}}


def template(cache: Json, **known: Any) -> Json:
    found: Json = a_resolved_world(cache=cache, **known).deployment["spec"]["template"]
    return found


def parts(cache: Json, **known: Any) -> tuple[Json, Json, Json]:
    """Pod, loader and engine."""
    pod = template(cache, **known)["spec"]
    (fetch,), (engine,) = pod["initContainers"], pod["containers"]
    return pod, fetch, engine


def models_volume(pod: Json) -> Json:
    (found,) = [volume for volume in pod["volumes"] if volume["name"] == "models"]
    return dict(found)


def mount(container: Json, name: str = "models") -> Json:
    (found,) = [mount for mount in container["volumeMounts"] if mount["name"] == name]
    return dict(found)


def option(container: Json, name: str) -> str:
    command = container["command"]
    return str(command[command.index(name) + 1])


@pytest.mark.parametrize(("cache", "claim"), [(CLAIM, "weights"), (owned(), "qwen-cache")])
def test_a_claim_is_written_by_the_loader_and_read_by_the_engine_which_sees_our_folder_alone(
    cache: Json, claim: str
) -> None:
    pod, fetch, engine = parts(cache)
    assert models_volume(pod) == {"name": "models", "persistentVolumeClaim": {"claimName": claim}}
    assert mount(fetch) == {"name": "models", "mountPath": "/models"}
    assert mount(engine) == {"name": "models", "mountPath": "/models", "subPath": "berth", "readOnly": True}
    assert option(fetch, "--into") == "/models/berth"
    assert option(fetch, "--shared-by") == "qwen"


@pytest.mark.parametrize("cache", [CLAIM, owned()])
def test_the_engines_path_in_a_claim_is_the_loaders_by_digest(cache: Json) -> None:
    _, fetch, engine = parts(cache)
    asked = parse_arguments(fetch["command"][3:])
    assert asked.digest == DIGEST
    assert f"qwen={MODELS_PATH}/{link_name(DIGEST)}" in engine["command"]
    store = asked.into.relative_to("/models/berth") / STORE_NAME
    assert option(engine, "--hold") == f"{MODELS_PATH}/{hold_path(store, DIGEST, asked.shared_by)}"


@pytest.mark.parametrize("cache", [CLAIM, owned()])
def test_a_quota_reaches_the_loader_in_bytes(cache: Json) -> None:
    _, fetch, _ = parts({**cache, "quota": "1.5Gi"})
    assert parse_arguments(fetch["command"][3:]).quota_bytes == 3 << 29
    assert "--quota" not in parts(cache)[1]["command"]


def test_a_named_engine_is_shown_its_file_there() -> None:
    _, _, engine = parts(CLAIM, engine={"type": "LlamaCpp"})
    assert f"qwen=/models/sha256-{HEX}/model.gguf" in engine["command"]


def test_a_claims_files_are_not_walked_over_at_each_mount_and_count_for_no_node() -> None:
    pod, _, engine = parts(CLAIM)
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    assert "ephemeral-storage" not in engine["resources"]["requests"]
    assert "limits" not in engine["resources"]


def test_a_pods_own_volume_has_nothing_of_this() -> None:
    pod, fetch, engine = parts({"type": "Pod"})
    assert "fsGroupChangePolicy" not in pod["securityContext"]
    assert "affinity" not in pod
    assert "--shared-by" not in fetch["command"]
    assert "--hold" not in engine["command"]


def near(pod: Json) -> list[Json]:
    found: list[Json] = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return found


def test_pods_on_a_claim_for_one_node_stay_together() -> None:
    pod, _, _ = parts(owned())
    (term,) = near(pod)
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"]["berth.dev/model"] == "qwen"
    assert "affinity" not in parts(owned(accessMode="ReadWriteMany"))[0]


def test_the_users_affinity_stays_beside_it() -> None:
    theirs = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}
    preferred: list[Json] = [{"weight": 1, "podAffinityTerm": theirs}]
    affinity = {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [theirs],
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        }
    }
    pod, _, _ = parts(owned(), pod={"affinity": affinity})
    assert near(pod)[0] == theirs
    assert len(near(pod)) == 2
    assert pod["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == preferred


@pytest.mark.parametrize(("uri", "path"), [("pvc://weights/team/m", "/claim/team/m"), ("pvc://weights", "/claim")])
def test_a_model_on_a_claim_is_looked_at_and_read_where_it_lies(uri: str, path: str) -> None:
    pod, fetch, engine = parts({}, source={"uri": uri})
    claim = {"claimName": "weights", "readOnly": True}
    assert [volume for volume in pod["volumes"] if volume["name"] != "tmp"] == [
        {"name": "claim", "persistentVolumeClaim": claim}
    ]
    seen = {"name": "claim", "mountPath": "/claim", "readOnly": True}
    assert mount(fetch, "claim") == mount(engine, "claim") == seen
    assert fetch["command"][:3] == ["python", "-m", "berth_store.loader.on_claim"]
    asked = on_claim.build_parser().parse_args(fetch["command"][3:])
    assert (asked.source, str(asked.volume), asked.digest) == (uri, "/claim", DIGEST)
    assert "ports" not in fetch
    assert f"qwen={path}" in engine["command"]
    assert "ephemeral-storage" not in engine["resources"]["requests"]


def test_an_image_is_mounted_pinned_and_looked_through_and_nothing_is_fetched() -> None:
    pod, fetch, engine = parts(IMAGE)
    (image,) = [volume["image"] for volume in pod["volumes"] if volume["name"] == "image"]
    assert image == {"reference": f"registry.example.com/ai/qwen@{DIGEST}", "pullPolicy": "IfNotPresent"}
    assert fetch["command"][:3] == ["python", "-m", "berth_store.loader.check"]
    asked = check.build_parser().parse_args(fetch["command"][3:])
    assert (str(asked.volume), str(asked.into), asked.task, asked.format) == ("/image", "/models", "Chat", "GGUF")
    assert "ports" not in fetch
    assert "qwen=/models/model" in engine["command"]
    assert mount(engine, "image") == {"name": "image", "mountPath": "/image", "readOnly": True}
    assert "ephemeral-storage" not in engine["resources"]["requests"]


def test_a_template_of_the_users_own_leaves_the_images_unjudged() -> None:
    given = {"configMapRef": {"name": "templates", "key": "qwen.jinja"}}
    assert "--own-template" in parts(IMAGE, chatTemplate=given)[1]["command"]
    assert "--own-template" not in parts(IMAGE)[1]["command"]


def test_who_looks_through_an_image_hears_that_pickles_are_trusted() -> None:
    assert "--trust-pickle" in parts(IMAGE, trust={"pickle": True})[1]["command"]
    assert "--trust-pickle" not in parts(IMAGE)[1]["command"]


def test_a_pod_that_fetches_nothing_may_never_go_out() -> None:
    assert "berth.dev/loading" not in template(IMAGE)["metadata"]["labels"]
    assert "berth.dev/loading" in template(CLAIM)["metadata"]["labels"]


def test_the_sources_secret_goes_to_the_node_that_pulls_and_not_into_the_pod() -> None:
    source = {"uri": "oci://registry.example.com/ai/qwen:1", "secretRef": {"name": "login"}}
    pod, fetch, _ = parts(IMAGE, source=source)
    assert pod["imagePullSecrets"] == [{"name": "login"}]
    assert not [volume for volume in pod["volumes"] if "secret" in volume]
    assert not [variable for variable in fetch["env"] if variable["name"] == "DOCKER_CONFIG"]
    pod, _, _ = parts(IMAGE, source=source, pod={"imagePullSecrets": [{"name": "login"}]})
    assert pod["imagePullSecrets"] == [{"name": "login"}]
    assert "imagePullSecrets" not in parts(CLAIM, source=source)[0]


@pytest.mark.parametrize(
    "uri",
    [
        "oci://smollm2",
        "oci://ai/smollm2:1",
        "oci://docker.io/ai/smollm2",
        "oci://registry.example.com/a/b/c:tag",
        "oci://localhost:5000/m",
        "oci://registry:5000/m:1",
        f"oci://registry.example.com/m:1@sha256:{'1' * 64}",
    ],
)
@pytest.mark.parametrize("digest", [f"sha256:{'1' * 64}", None])
def test_a_node_is_told_the_name_that_the_resolver_has_asked_for(uri: str, digest: str | None) -> None:
    reference = Reference.parse(uri)
    named = reference.digest or digest
    expected = f"{reference.name}@{named}" if named else f"{reference.name}:{reference.tag}"
    assert image_reference(uri, digest) == expected


def test_a_claim_is_as_the_model_wants_it() -> None:
    found = build_claim(a_model(cache=owned(storageClassName="fast", accessMode="ReadWriteMany")))
    assert found is not None
    assert found["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "50Gi"}},
        "storageClassName": "fast",
    }
    default = build_claim(a_model(cache=owned()))
    assert default is not None
    assert default["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "50Gi"}}}
    assert default["metadata"]["ownerReferences"]
    assert build_claim(a_model()) is None


def test_a_size_changes_the_claim_and_no_pod() -> None:
    world = a_resolved_world(cache=owned())
    before = world.revision
    world.edit(cache=owned(size="80Gi")).settle()
    assert world.children["PersistentVolumeClaim", "qwen-cache"]["spec"]["resources"]["requests"]["storage"] == "80Gi"
    assert world.revision == before
