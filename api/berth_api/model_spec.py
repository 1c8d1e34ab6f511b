"""The spec of a Model: what the user wants."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from berth_api.access import Access, AllowedRoutes, Limits
from berth_api.artifact import Task
from berth_api.bounds import ListOf
from berth_api.claim_path import SCHEME as ON_CLAIM
from berth_api.engine import ChatTemplate, Engine
from berth_api.part import Part
from berth_api.pod import PodOptions
from berth_api.rules import Rule
from berth_api.scalars import ClientName
from berth_api.scale import Accelerator, AccessMode, Autoscaling, Cache, CacheType, Resources, Rollout
from berth_api.source import Adapter, ArtifactOverrides, Draft, Source
from berth_api.trust import Trust


class Exposure(StrEnum):
    """Under which names a Model answers."""

    DIRECT = "Direct"
    ROUTES_ONLY = "RoutesOnly"


@dataclass(frozen=True)
class _Said:
    """Something that a spec may say, in CEL and in Python."""

    cel: str
    holds: Callable[["ModelSpec"], bool]


_NO_IMAGE = _Said(
    "!has(self.cache) || self.cache.type != 'ImageVolume'",
    lambda spec: spec.cache.type is not CacheType.IMAGE_VOLUME,
)
_ONE_NODE = _Said(
    "!has(self.accelerator) || self.accelerator.nodes <= 1",
    lambda spec: spec.group_size == 1,
)
_NOT_ON_CLAIM = _Said("!self.source.uri.startsWith('pvc://')", lambda spec: not spec.source.uri.startswith(ON_CLAIM))
_NONE_OF = {
    ".source.files": _Said(
        "!has(self.source.files) || self.source.files.size() == 0", lambda spec: not spec.source.files
    ),
    ".source.signature": _Said("!has(self.source.signature)", lambda spec: spec.source.signature is None),
    ".source.secretRef": _Said("!has(self.source.secretRef)", lambda spec: spec.source.secret_ref is None),
    ".adapters": _Said("!has(self.adapters) || self.adapters.size() == 0", lambda spec: not spec.adapters),
    ".draft": _Said("!has(self.draft)", lambda spec: spec.draft is None),
}


def _without(field: str, case: _Said, message: str, otherwise: str) -> Rule:
    """The rule that nothing is said in `field`, unless it is the `case` that something is another way."""
    none = _NONE_OF[field]
    return Rule(
        f"{case.cel} || {none.cel}",
        message,
        f"remove `spec{field}`, or {otherwise}",
        field=field,
        holds=lambda spec: case.holds(spec) or none.holds(spec),
    )


_FETCH = "take `type: Pod`"
_PUSH = "push the model to a registry and use `oci://`"


class ModelSpec(Part):
    """What the user wants."""

    invariants = (
        Rule(
            f"{_NO_IMAGE.cel} || self.source.uri.startsWith('oci://')",
            "`type: ImageVolume` mounts a container image, and `spec.source.uri` names none",
            "name an image by `oci://`, or take `type: Pod`",
            field=".cache",
            holds=lambda spec: _NO_IMAGE.holds(spec) or spec.source.uri.startswith("oci://"),
        ),
        _without(
            ".source.files",
            _NO_IMAGE,
            "`type: ImageVolume` mounts an image whole, and `spec.source.files` chooses some of it",
            _FETCH,
        ),
        _without(
            ".source.signature",
            _NO_IMAGE,
            "with `type: ImageVolume` the node fetches, which looks at no signature of a model",
            _FETCH,
        ),
        _without(
            ".adapters",
            _NO_IMAGE,
            "`type: ImageVolume` mounts the image of the model and fetches nothing, so there is no place for adapters",
            _FETCH,
        ),
        _without(
            ".draft",
            _NO_IMAGE,
            "`type: ImageVolume` mounts the image of the model and fetches nothing, so a draft model has no place",
            _FETCH,
        ),
        Rule(
            f"{_NOT_ON_CLAIM.cel} || !has(self.cache) || self.cache.type == 'Pod'",
            "a model at `pvc://` is read where it lies, and `spec.cache` names another place for it",
            f"remove `spec.cache`, or {_PUSH}",
            field=".cache",
            holds=lambda spec: _NOT_ON_CLAIM.holds(spec) or spec.cache.type is CacheType.POD,
        ),
        Rule(
            f"{_ONE_NODE.cel} || self.replicas <= 1",
            "pods that compute together are one replica, and `spec.replicas` asks for several of such groups",
            "set `spec.replicas: 1`, and make a Model for each further group and a ModelRoute over them",
            field=".replicas",
            holds=lambda spec: _ONE_NODE.holds(spec) or spec.replicas <= 1,
        ),
        Rule(
            f"{_ONE_NODE.cel} || !has(self.cache) || !has(self.cache.ownedClaim) || "
            "self.cache.ownedClaim.accessMode == 'ReadWriteMany'",
            "pods on several nodes read the claim, and one with `ReadWriteOnce` is of one node",
            "set `accessMode: ReadWriteMany`, or take `type: Pod`",
            field=".cache.ownedClaim.accessMode",
            holds=lambda spec: (
                _ONE_NODE.holds(spec)
                or spec.cache.owned_claim is None
                or spec.cache.owned_claim.access_mode is AccessMode.READ_WRITE_MANY
            ),
        ),
        _without(
            ".source.files",
            _NOT_ON_CLAIM,
            "a model at `pvc://` is read where it lies, with all that lies there",
            _PUSH,
        ),
        _without(
            ".source.secretRef",
            _NOT_ON_CLAIM,
            "a claim is mounted, which takes no credentials",
            _PUSH,
        ),
        _without(
            ".source.signature",
            _NOT_ON_CLAIM,
            "a signature is judged while files are fetched, and nothing is fetched from `pvc://`",
            _PUSH,
        ),
        _without(
            ".adapters",
            _NOT_ON_CLAIM,
            "a model at `pvc://` is read where it lies and nothing is fetched, so there is no place for adapters",
            _PUSH,
        ),
        _without(
            ".draft",
            _NOT_ON_CLAIM,
            "a model at `pvc://` is read where it lies and nothing is fetched, so a draft model has no place",
            _PUSH,
        ),
    )

    source: Source = Field(description="Where the weights are.")
    artifact: ArtifactOverrides = Field(
        default=ArtifactOverrides(),
        description="What is known of the artifact already; the rest is read from its headers.",
    )
    trust: Trust = Field(default=Trust(), description="What of the artifact may run as code.")
    task: Task = Field(default=Task.AUTO, description="What the model does; `Auto` reads it from the artifact.")
    engine: Engine = Field(default=Engine(), description="Which program loads the weights and answers.")
    aliases: Annotated[tuple[ClientName, ...], ListOf(32, "set")] = Field(
        default=(), description="Further names that clients may send as `model`.", examples=[["qwen2.5"]]
    )
    exposure: Exposure = Field(
        default=Exposure.DIRECT,
        description="`Direct`: answers by its own name and aliases. `RoutesOnly`: only through ModelRoutes.",
    )
    context_length: int | None = Field(
        default=None,
        ge=1,
        le=1 << 30,
        description="Tokens that a prompt and its answer may have together; by default the model's own, "
        "bounded by what fits.",
        examples=[8192],
    )
    parallel_sequences: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Requests that one replica computes at once; by default the engine's choice.",
        examples=[8],
    )
    chat_template: ChatTemplate | None = Field(default=None, description="A chat template instead of the model's own.")
    accelerator: Accelerator | None = Field(default=None, description="GPUs of each pod; absent means CPU.")
    resources: Resources = Field(default=Resources(), description="CPU, memory and others of each pod.")
    replicas: int = Field(
        default=1, ge=0, le=1000, description="Pods. With 0 the model is suspended. `autoscaling` takes precedence."
    )
    autoscaling: Autoscaling | None = Field(default=None, description="Replicas by demand.")
    rollout: Rollout = Field(default=Rollout(), description="How a new revision replaces the old one.")
    cache: Cache = Field(default=Cache(), description="Where the weights lie while the model runs.")
    adapters: Annotated[tuple[Adapter, ...], ListOf(32, "map", ("name",))] = Field(
        default=(), description="LoRA adapters, which clients address as `<model>:<adapter>`."
    )
    draft: Draft | None = Field(
        default=None, description="A small model that guesses tokens ahead (speculative decoding), with LlamaCpp."
    )
    access: Access = Field(default=Access(), description="Which API keys may use it.")
    limits: Limits = Field(default=Limits(), description="Limits for each key, over all replicas of the gateway.")
    allowed_routes: AllowedRoutes = Field(
        default=AllowedRoutes(), description="Whose ModelRoutes may point here besides those of its own namespace."
    )
    pod: PodOptions = Field(default=PodOptions(), description="Handed through to the pods as it stands.")
    suspend: bool = Field(default=False, description="Stops all replicas; requests are answered 503 `model_suspended`.")

    @property
    def group_size(self) -> int:
        """How many pods compute together as one replica."""
        return self.accelerator.nodes if self.accelerator is not None else 1
