"""What is wrong with a pod before its engine runs, or with the pod as a whole. Rules of the table in diagnosis.py."""

from typing import Final

from berth_api.conditions import Reason
from berth_kube.resources import Object
from berth_operator.findings import Circumstances, Finding
from berth_operator.pods import Container, condition_of, containers_of

_IMAGE_WORDS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_NOT_MOUNTED: Final = "ImageVolumeMountFailed"
_NO_IMAGE: Final = "mismatched image rootfs and manifest layers"
"""How containerd says that something in a registry is no container image."""
_IMAGES_ALONE: Final = (
    "only container images can be mounted (the pod's events have the node's words); build an image with the model in "
    "/models, or take spec.cache.type: Pod"
)
_CREATE_WORDS: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"}
)


def evicted(pod: Object, _: Circumstances) -> Finding | None:
    """The kubelet threw it out: its disk or memory was used up."""
    status = pod.get("status", {})
    if status.get("reason") != "Evicted":
        return None
    words = str(status.get("message") or "the kubelet gave no reason")
    if "memory" in words and "ephemeral" not in words:
        remedy = "raise spec.resources.requests.memory, or take a smaller model"
        return Finding(Reason.OUT_OF_MEMORY, f"the pod was evicted: {words}; {remedy}")
    remedy = "free disk on the nodes, or raise ephemeral-storage in spec.resources"
    return Finding(Reason.DISK_FULL, f"the pod was evicted: {words}; {remedy}")


def not_scheduled(pod: Object, circumstances: Circumstances) -> Finding | None:
    """The scheduler finds no node; its own words say why."""
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") != "False" or not scheduled.get("reason"):
        return None  # The scheduler has not come to it yet.
    words = str(scheduled.get("message") or scheduled["reason"])
    resource = circumstances.gpu_resource
    if resource and f"Insufficient {resource}" in words:
        if circumstances.drains:
            return Finding(Reason.WAITING_FOR_GPU, f"the old pods still hold the GPUs that the new one needs: {words}")
        return Finding(Reason.INSUFFICIENT_GPU, f"no node has a free GPU: {words}")
    return Finding(Reason.UNSCHEDULABLE, f"the scheduler finds no node: {words}")


def image_not_mounted(pod: Object, _: Circumstances) -> Finding | None:
    """The artifact itself is an image that the node pulls and mounts, and it can't.

    The kubelet tells it of whichever container comes first, under that one's own image.
    """
    volumes = pod.get("spec", {}).get("volumes") or ()
    reference = next((str(volume["image"].get("reference")) for volume in volumes if "image" in volume), None)
    for container in containers_of(pod) if reference is not None else ():
        words = _image_words(container)
        if _NOT_MOUNTED in words or _NO_IMAGE in words:
            return Finding(Reason.NO_MODEL_IN_SOURCE, f"the node can't mount {reference} as a volume: {_IMAGES_ALONE}")
        if container.waiting in _IMAGE_WORDS and str(reference) in container.waiting_message:
            remedy = "check spec.source and its secretRef, and that the nodes' container runtime knows the registry"
            return Finding(Reason.IMAGE_PULL_FAILED, f"the node can't pull {reference}: {words}; {remedy}")
    return None


def image_not_pulled(pod: Object, _: Circumstances) -> Finding | None:
    """An image is not there, or the registry does not give it."""
    for container in containers_of(pod):
        if container.waiting in _IMAGE_WORDS:
            detail = _image_words(container)
            remedy = "check the image and spec.pod.imagePullSecrets"
            return Finding(Reason.IMAGE_PULL_FAILED, f"the image {container.image} can't be pulled: {detail}; {remedy}")
    return None


def not_created(pod: Object, _: Circumstances) -> Finding | None:
    """The kubelet can't make a container: a Secret or ConfigMap is missing, or the runtime refuses."""
    for container in containers_of(pod):
        if container.waiting in _CREATE_WORDS:
            words = container.waiting_message or container.waiting
            return Finding(Reason.CONTAINER_NOT_CREATED, f"a container can't be made: {words}")
    return None


def ended(pod: Object, _: Circumstances) -> Finding | None:
    """The pod is over without any container telling why: its node went away or shut down."""
    status = pod.get("status", {})
    if status.get("phase") != "Failed":
        return None
    words = status.get("message") or status.get("reason") or "the kubelet gave no reason"
    return Finding(Reason.CRASH_LOOP, f"the pod ended: {words}")


def refused_pods(words: str) -> Finding:
    """What it means that the Deployment's pods are refused before they exist: a quota, or a rule of admission."""
    if "exceeded quota" in words:
        return Finding(Reason.QUOTA_EXCEEDED, f"no pod may be made: {words}")
    return Finding(Reason.FORBIDDEN, f"no pod may be made: {words}")


def _image_words(container: Container) -> str:
    """The registry's words, the same while the kubelet tries and while it waits between two tries."""
    words = container.waiting_message
    _, found, detail = words.partition("ErrImagePull: ")
    return (detail if found else words) or container.waiting
