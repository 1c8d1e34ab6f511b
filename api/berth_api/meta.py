"""The envelope of both kinds: group, version, metadata, and the object that carries them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, ConfigDict, Field

from berth_api.bounds import ListOf
from berth_api.part import Part
from berth_api.scalars import LabelMap, Name, Namespace

GROUP = "berth.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class ObjectMeta(Part):
    """Kubernetes' own metadata; the API server owns everything but name, namespace, labels and annotations."""

    name: Name = Field(description="The object's name.", examples=["qwen3-8b"])
    namespace: Namespace = Field(default="default", description="The object's namespace.", examples=["team-a"])
    labels: LabelMap = Field(default_factory=dict, description="Labels.")
    annotations: Mapping[str, str] = Field(default_factory=dict, description="Annotations.")
    uid: str = Field(default="", description="Set by the API server.")
    generation: int = Field(default=0, ge=0, description="Counts the versions of the spec.")
    resource_version: str = Field(default="", description="Set by the API server.")
    creation_timestamp: AwareDatetime | None = Field(default=None, description="Set by the API server.")
    deletion_timestamp: AwareDatetime | None = Field(default=None, description="Set by the API server.")
    deletion_grace_period_seconds: int | None = Field(default=None, description="Set by the API server.")
    generate_name: str = Field(default="", description="Set by the API server.")
    self_link: str = Field(default="", description="Set by old API servers.")
    finalizers: Annotated[tuple[str, ...], ListOf(64, "set")] = Field(
        default=(), description="What must be done before deletion."
    )
    owner_references: Annotated[tuple[Mapping[str, Any], ...], ListOf(64)] = Field(default=(), description="Owners.")
    managed_fields: Annotated[tuple[Mapping[str, Any], ...], ListOf(1024)] = Field(
        default=(), description="Who set what."
    )


class ApiObject(Part):
    """What Model and ModelRoute have in common."""

    # `from_attributes` stays off: only parsed manifests become objects.
    model_config = ConfigDict(frozen=True)

    api_version: str = Field(default=API_VERSION, description="`berth.dev/v1alpha1`.")
    kind: str = Field(description="The kind.")
    metadata: ObjectMeta = Field(description="Kubernetes' own metadata.")

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def created(self) -> datetime | None:
        """When the API server took it in; None on a laptop."""
        return self.metadata.creation_timestamp
