"""Where the weights of a Model's pods lie, as a value: the volumes, how loader and engine see them, what both are told.

One function for each word of `spec.cache.type`, and one for a source that is a claim. The engine's path never leads
through anything that another Model, or a newer revision of this one, moves: in a pod's own volume nobody else is, in a
claim for caching the path has the digest. A claim that is the source is its owner's to change, and looked at first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from berth_api.artifact import Artifact
from berth_api.claim_path import ClaimPath, claim_path
from berth_api.memory import volume_bytes
from berth_api.model import Model
from berth_api.names import model_labels
from berth_api.scale import AccessMode, CacheType
from berth_api.source import Source
from berth_operator.children.metadata import Manifest
from berth_operator.children.names import MODEL_VIEW_PATH, MODELS_PATH, claim_name
from berth_operator.children.resources import in_mebibytes
from berth_operator.extras import Extra

_VOLUME: Final = "models"
_SUBPATH: Final = "berth"
"""Our folder of a claim: the loader makes it, by its own rights, and the engine sees nothing else of the claim."""
_IMAGE_VOLUME: Final = "image"
IMAGE_PATH: Final = "/image"
_SOURCE_VOLUME: Final = "claim"
CLAIM_PATH: Final = "/claim"
_LINK_SIZE: Final = "1Mi"
_SCHEME: Final = "oci://"
_LOADER: Final = ("berth_store.loader",)


@dataclass(frozen=True)
class Place:
    """The weights' place. `program` is what the init container runs, with the options that depend on the place.

    `fetches` is whether that goes to the source. `on_node` is whether the weights count as the pod's ephemeral storage.
    `hold_path` is the file by which an engine keeps its model from being freed; `near` what its pods must be near to.
    """

    volumes: tuple[Manifest, ...]
    loader_mounts: tuple[Manifest, ...]
    engine_mounts: tuple[Manifest, ...]
    program: tuple[str, ...]
    model_path: str = MODEL_VIEW_PATH
    hold_path: str | None = None
    fetches: bool = True
    on_node: bool = True
    security: Mapping[str, str] | None = None
    near: Manifest | None = None


@dataclass(frozen=True)
class ExtraPlace:
    """The place of an extra beside the model's: `program` brings it there from `source`, the engine reads `path`."""

    key: str
    source: Source
    digest: str
    program: tuple[str, ...]
    path: str
    hold_path: str | None = None
    revision: str = ""


def build_place(model: Model, artifact: Artifact) -> Place:
    """The place that `spec.cache` names, or the source's own; the artifact's size is that of all that is fetched."""
    there = claim_path(model.spec.source.uri)
    if there is not None:
        return _on_claim(there, artifact)
    return _PLACES[model.spec.cache.type](model, artifact)


def build_extra_place(model: Model, extra: Extra, digest: str, revision: str = "") -> ExtraPlace:
    """Where an extra of the Model lies. An image volume has no place for any, which the manifest's rules say."""
    if model.spec.cache.type is CacheType.POD:
        program = (*_LOADER, "--into", MODELS_PATH, "--link", extra.link)
        path = f"{MODELS_PATH}/{extra.link}"
        return ExtraPlace(extra.key, extra.source, digest, program, path, revision=revision)
    shared, path, hold = _shared_way(model, digest)
    return ExtraPlace(extra.key, extra.source, digest, shared, path, hold, revision)


def image_reference(uri: str, digest: str | None) -> str:
    """An `oci://` source as container runtimes write it, pinned where the digest is known.

    What is left out is filled in as in `berth_store.reference`, and not as runtimes would.
    """
    name, _, pinned = uri.removeprefix(_SCHEME).partition("@")
    folder, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    host, _, repository = f"{folder}{slash}{last}".partition("/")
    if not repository or not ("." in host or ":" in host or host == "localhost"):
        host, repository = "docker.io", f"{host}/{repository}" if repository else f"ai/{host}"
    found = digest or pinned
    return f"{host}/{repository}@{found}" if found else f"{host}/{repository}:{tag or 'latest'}"


def image_volume(model: Model, artifact: Artifact) -> tuple[Manifest, Manifest]:
    """The source as a volume, and where a container sees it."""
    reference = image_reference(model.spec.source.uri, artifact.digest)
    volume = {"name": _IMAGE_VOLUME, "image": {"reference": reference, "pullPolicy": "IfNotPresent"}}
    return volume, {"name": _IMAGE_VOLUME, "mountPath": IMAGE_PATH, "readOnly": True}


def claim_volume(there: ClaimPath) -> tuple[Manifest, Manifest]:
    """The claim that a source lies on as a volume, and where a container sees it. Nobody of ours writes there.

    All of it is mounted: in the caches of Hugging Face's tools a model's files are links to files beside its folder.
    """
    volume = {"name": _SOURCE_VOLUME, "persistentVolumeClaim": {"claimName": there.claim, "readOnly": True}}
    return volume, {"name": _SOURCE_VOLUME, "mountPath": CLAIM_PATH, "readOnly": True}


def _on_claim(there: ClaimPath, artifact: Artifact) -> Place:
    """Nothing is fetched: what was looked at is seen to be there still, and the engine reads it."""
    assert artifact.digest is not None
    volume, seen = claim_volume(there)
    still = ("--source", there.uri, "--volume", CLAIM_PATH, "--digest", artifact.digest)
    return Place(
        volumes=(volume,),
        loader_mounts=(seen,),
        engine_mounts=(seen,),
        program=("berth_store.loader.on_claim", *still),
        model_path=f"{CLAIM_PATH}/{there.path}".rstrip("/"),
        fetches=False,
        on_node=False,
    )


def _in_pod(_: Model, artifact: Artifact) -> Place:
    size = artifact.size_bytes
    return Place(
        volumes=({"name": _VOLUME, "emptyDir": {"sizeLimit": in_mebibytes(volume_bytes(size))} if size else {}},),
        loader_mounts=({"name": _VOLUME, "mountPath": MODELS_PATH},),
        engine_mounts=({"name": _VOLUME, "mountPath": MODELS_PATH, "readOnly": True},),
        program=(*_LOADER, "--into", MODELS_PATH),
    )


def _in_claim(model: Model, artifact: Artifact) -> Place:
    claim = model.spec.cache.claim
    assert claim is not None
    return _shared(model, artifact, claim.claim_name)


def _in_owned_claim(model: Model, artifact: Artifact) -> Place:
    claim = model.spec.cache.owned_claim
    assert claim is not None
    alone = claim.access_mode is AccessMode.READ_WRITE_ONCE
    # One node at a time may have such a claim. A pod on another would wait for the old one, which waits for it.
    near = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": model_labels(model.metadata.name)},
    }
    return _shared(model, artifact, claim_name(model.metadata.name), near if alone else None)


def _shared(model: Model, artifact: Artifact, claim: str, near: Manifest | None = None) -> Place:
    assert artifact.digest is not None
    program, path, hold = _shared_way(model, artifact.digest)
    return Place(
        volumes=({"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim}},),
        loader_mounts=({"name": _VOLUME, "mountPath": MODELS_PATH},),
        engine_mounts=({"name": _VOLUME, "mountPath": MODELS_PATH, "subPath": _SUBPATH, "readOnly": True},),
        program=program,
        model_path=path,
        hold_path=hold,
        on_node=False,
        # Else the kubelet walks over every file of a claim, each time that a pod mounts it.
        security={"fsGroupChangePolicy": "OnRootMismatch"},
        near=near,
    )


def _shared_way(model: Model, digest: str) -> tuple[tuple[str, ...], str, str]:
    """What brings an artifact into a claim, where the engine reads it, and the file by which it holds it.

    The layout is that of `berth_store.loader.shared`; a test holds the two together.
    """
    name, digits, quota = model.metadata.name, digest.removeprefix("sha256:"), model.spec.cache.quota
    bound = ("--quota", str(quota.bytes)) if quota is not None else ()
    program = (*_LOADER, "--into", f"{MODELS_PATH}/{_SUBPATH}", "--shared-by", name, *bound)
    return program, f"{MODELS_PATH}/sha256-{digits}", f"{MODELS_PATH}/store/holds/{digits}.{name}"


def _in_image(model: Model, artifact: Artifact) -> Place:
    """The node fetches. The small volume has a link to where in the image the model was found."""
    volume, seen = image_volume(model, artifact)
    what = ["--task", str(artifact.task), "--format", str(artifact.format)]
    if model.spec.chat_template is not None:
        what.append("--own-template")
    if model.spec.trust.pickle:
        what.append("--trust-pickle")
    return Place(
        volumes=({"name": _VOLUME, "emptyDir": {"sizeLimit": _LINK_SIZE}}, volume),
        loader_mounts=({"name": _VOLUME, "mountPath": MODELS_PATH}, seen),
        engine_mounts=({"name": _VOLUME, "mountPath": MODELS_PATH, "readOnly": True}, seen),
        program=("berth_store.loader.check", "--volume", IMAGE_PATH, "--into", MODELS_PATH, *what),
        fetches=False,
        on_node=False,
    )


_PLACES: Final[Mapping[CacheType, Callable[[Model, Artifact], Place]]] = {
    CacheType.POD: _in_pod,
    CacheType.CLAIM: _in_claim,
    CacheType.OWNED_CLAIM: _in_owned_claim,
    CacheType.IMAGE_VOLUME: _in_image,
}
