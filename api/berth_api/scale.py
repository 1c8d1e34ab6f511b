"""How much a Model gets and how it changes: `accelerator`, `resources`, `autoscaling`, `rollout` and `cache`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from berth_api.bounds import ListOf, MapOf
from berth_api.duration import Duration
from berth_api.part import Part
from berth_api.quantity import Quantity
from berth_api.rules import Rule
from berth_api.scalars import LABEL_KEYS_RULE, ObjectName, OptionalObjectName


class Accelerator(Part):
    """The GPUs of each pod: by the administrator's profiles, or any that is big enough."""

    invariants = (
        Rule(
            "has(self.profiles) != has(self.memory)",
            "exactly one of `profiles` and `memory` says which GPU",
            "give `profiles: [nvidia-l4]` or `memory: 24Gi`, not both",
            holds=lambda gpu: bool(gpu.profiles) != (gpu.memory is not None),
        ),
    )

    profiles: Annotated[tuple[ObjectName, ...], ListOf(16, min_items=1)] | None = Field(
        default=None,
        description="Profiles that the administrator wrote, the preferred one first.",
        examples=[["nvidia-l4"]],
    )
    memory: Quantity | None = Field(default=None, description="Any GPU with at least this memory.", examples=["24Gi"])
    count: int = Field(default=1, ge=1, le=64, description="GPUs of each pod; tensor parallel.")
    nodes: int = Field(
        default=1,
        ge=1,
        le=32,
        description="Pods that compute together as one replica, each with `count` GPUs and on a node of its own if "
        "need be; pipeline parallel. With VLLM.",
    )
    shared_memory: Quantity | None = Field(
        default=None, description="Size of `/dev/shm`, which engines need between GPUs.", examples=["8Gi"]
    )


ResourceList = Annotated[Mapping[str, Quantity], MapOf(32, (LABEL_KEYS_RULE,))]


class Resources(Part):
    """CPU, memory and others of each pod, as in a container."""

    requests: ResourceList = Field(
        default_factory=dict, description="What the scheduler sets aside.", examples=[{"cpu": "2", "memory": "4Gi"}]
    )
    limits: ResourceList = Field(
        default_factory=dict, description="What the pod may use at most.", examples=[{"memory": "8Gi"}]
    )


class Hold(Part):
    """Requests that wait at the gateway while a sleeping model wakes."""

    max_requests: int = Field(
        default=100, ge=0, le=10_000, description="How many may wait; the next one is answered 503."
    )
    deadline: Duration = Field(default=Duration("2m"), description="How long one may wait before it is answered 503.")


class Autoscaling(Part):
    """Replicas by demand. While it is set, the operator owns the Deployment's replicas."""

    invariants = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "`minReplicas` is above `maxReplicas`",
            "raise `maxReplicas` or lower `minReplicas`",
            field=".minReplicas",
            holds=lambda scaling: scaling.min_replicas <= scaling.max_replicas,
        ),
    )

    min_replicas: int = Field(default=1, ge=0, le=1000, description="Never fewer. 0 lets an idle model sleep.")
    max_replicas: int = Field(ge=1, le=1000, description="Never more.", examples=[4])
    target_in_flight: int = Field(
        default=8, ge=1, le=10_000, description="Requests in flight that one replica should carry."
    )
    idle_after: Duration = Field(
        default=Duration("10m"), description="How long without a request until a replica may go."
    )
    hold: Hold = Field(default=Hold(), description="What happens to requests while the model sleeps or wakes.")


class RolloutStrategy(StrEnum):
    """How a new revision replaces the old one."""

    AUTO = "Auto"
    SURGE = "Surge"
    DRAIN = "Drain"


class Rollout(Part):
    """How a new revision replaces the old one."""

    strategy: RolloutStrategy = Field(
        default=RolloutStrategy.AUTO,
        description="`Surge` starts the new pods first, `Drain` frees the old ones' GPUs first, "
        "`Auto` chooses by free GPUs.",
    )
    drain_timeout: Duration = Field(
        default=Duration("2m"), description="How long requests in flight may take to finish when a pod ends."
    )
    start_deadline: Duration = Field(
        default=Duration("30m"), description="How long a start may take until it counts as failed."
    )


class CacheType(StrEnum):
    """Where the weights lie while the model runs."""

    POD = "Pod"
    CLAIM = "Claim"
    OWNED_CLAIM = "OwnedClaim"
    IMAGE_VOLUME = "ImageVolume"


class DeletionPolicy(StrEnum):
    """What happens to a claim when its Model is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


class AccessMode(StrEnum):
    """How many nodes may mount a claim at once."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"


class ClaimCache(Part):
    """A volume claim that exists already and may be shared."""

    claim_name: ObjectName = Field(
        description="The PersistentVolumeClaim's name. Berth uses its folder `berth` and nothing else; where room "
        "lacks, it frees there what no running pod uses.",
        examples=["models"],
    )


class OwnedClaimCache(Part):
    """A volume claim made for this Model."""

    size: Quantity = Field(
        description="The claim's size. It may be raised later if the storage class lets claims grow.", examples=["50Gi"]
    )
    storage_class_name: OptionalObjectName = Field(
        default="", description="Its storage class; the cluster's default if empty.", examples=["fast"]
    )
    access_mode: AccessMode = Field(
        default=AccessMode.READ_WRITE_ONCE,
        description="`ReadWriteOnce`: all pods of the Model run on one node. `ReadWriteMany`: on any, if the storage "
        "class can do that.",
    )
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.DELETE,
        description="What happens to the claim when the Model is deleted. A claim that is retained is taken up again "
        "by a Model of the same name.",
    )


class Cache(Part):
    """Where the weights lie: exactly the member that belongs to `type` is given."""

    invariants = (
        Rule(
            "has(self.claim) == (self.type == 'Claim')",
            "`claim` belongs to `type: Claim`, and to nothing else",
            "give `type: Claim` together with `claim: {claimName: …}`",
            holds=lambda cache: (cache.claim is not None) == (cache.type is CacheType.CLAIM),
        ),
        Rule(
            "has(self.ownedClaim) == (self.type == 'OwnedClaim')",
            "`ownedClaim` belongs to `type: OwnedClaim`, and to nothing else",
            "give `type: OwnedClaim` together with `ownedClaim: {size: 50Gi}`",
            holds=lambda cache: (cache.owned_claim is not None) == (cache.type is CacheType.OWNED_CLAIM),
        ),
        Rule(
            "!has(self.quota) || self.type in ['Claim', 'OwnedClaim']",
            "`quota` bounds what lies in a claim, and this Model has none",
            "remove it, or take `type: Claim` or `type: OwnedClaim`",
            field=".quota",
            holds=lambda cache: cache.quota is None or cache.type in {CacheType.CLAIM, CacheType.OWNED_CLAIM},
        ),
        Rule(
            "!has(self.prefetch) || !self.prefetch || self.type == 'ImageVolume'",
            "`prefetch` is for images that nodes mount",
            "remove it, or take `type: ImageVolume`",
            field=".prefetch",
            holds=lambda cache: not cache.prefetch or cache.type is CacheType.IMAGE_VOLUME,
        ),
    )

    type: CacheType = Field(
        default=CacheType.POD,
        description="`Pod`: the pod's own volume, sized by the artifact. `Claim`: an existing claim, which Models may "
        "share. `OwnedClaim`: a claim made for this Model. `ImageVolume`: the node mounts the container image that the "
        "source names.",
    )
    claim: ClaimCache | None = Field(default=None, description="The existing claim, with `type: Claim`.")
    owned_claim: OwnedClaimCache | None = Field(default=None, description="The claim to make, with `type: OwnedClaim`.")
    quota: Quantity | None = Field(
        default=None,
        description="The most that Berth's folder of the claim may hold once this Model's weights have come. What no "
        "running pod uses is freed for it, the longest unused first; where that is not enough, nothing is fetched.",
        examples=["200Gi"],
    )
    prefetch: bool = Field(
        default=False,
        description="With `type: ImageVolume`: every node that may run the Model pulls the image now and keeps it, so "
        "that no pod waits for it. The condition `Prefetched` says how many have it.",
    )
