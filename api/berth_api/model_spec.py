"""The spec of a Model: what the user wants."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from berth_api.access import Access, AllowedRoutes, Limits
from berth_api.artifact import Task
from berth_api.bounds import ListOf
from berth_api.engine import ChatTemplate, Engine
from berth_api.part import Part
from berth_api.pod import PodOptions
from berth_api.rules import Rule
from berth_api.scalars import ClientName
from berth_api.scale import Accelerator, Autoscaling, Cache, CacheType, Resources, Rollout
from berth_api.source import Adapter, ArtifactOverrides, Draft, Source, Trust


class Exposure(StrEnum):
    """Under which names a Model answers."""

    DIRECT = "Direct"
    ROUTES_ONLY = "RoutesOnly"


class ModelSpec(Part):
    """What the user wants."""

    invariants = (
        Rule(
            "!has(self.cache) || self.cache.type != 'ImageVolume' || self.source.uri.startsWith('oci://')",
            "`type: ImageVolume` mounts a container image, and `spec.source.uri` names none",
            "name an image by `oci://`, or take `type: Pod`",
            field=".cache",
            holds=lambda spec: spec.cache.type is not CacheType.IMAGE_VOLUME or spec.source.uri.startswith("oci://"),
        ),
        Rule(
            "!has(self.cache) || self.cache.type != 'ImageVolume' || !has(self.source.files) "
            "|| self.source.files.size() == 0",
            "`type: ImageVolume` mounts an image whole, and `spec.source.files` chooses some of it",
            "remove `spec.source.files`, or take `type: Pod`",
            field=".source.files",
            holds=lambda spec: spec.cache.type is not CacheType.IMAGE_VOLUME or not spec.source.files,
        ),
        Rule(
            "!has(self.cache) || self.cache.type != 'ImageVolume' || !has(self.source.signature)",
            "with `type: ImageVolume` the node fetches, which looks at no signature of a model",
            "take `type: Pod`, or remove `spec.source.signature`",
            field=".source.signature",
            holds=lambda spec: spec.cache.type is not CacheType.IMAGE_VOLUME or spec.source.signature is None,
        ),
        Rule(
            "!has(self.cache) || self.cache.type != 'ImageVolume' || !has(self.adapters) || self.adapters.size() == 0",
            "`type: ImageVolume` mounts the image of the model and fetches nothing, so there is no place for adapters",
            "remove `spec.adapters`, or take `type: Pod`",
            field=".adapters",
            holds=lambda spec: spec.cache.type is not CacheType.IMAGE_VOLUME or not spec.adapters,
        ),
        Rule(
            "!has(self.cache) || self.cache.type != 'ImageVolume' || !has(self.draft)",
            "`type: ImageVolume` mounts the image of the model and fetches nothing, so a draft model has no place",
            "remove `spec.draft`, or take `type: Pod`",
            field=".draft",
            holds=lambda spec: spec.cache.type is not CacheType.IMAGE_VOLUME or spec.draft is None,
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
