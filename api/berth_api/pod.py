"""What a Model hands through to its pods as it stands: `pod`. The words are those of a Kubernetes pod."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from berth_api.affinity import Affinity
from berth_api.bounds import ListOf
from berth_api.label_selector import LabelKey, LabelSelector, OptionalLabelKey
from berth_api.part import Part
from berth_api.rules import Rule
from berth_api.scalars import (
    AnnotationMap,
    LabelMap,
    LabelValue,
    MapKey,
    ObjectName,
    OptionalObjectName,
    PodLabelMap,
    Text,
    form,
)
from berth_api.source import ObjectReference

EnvName = Annotated[
    str,
    Text(
        253,
        (
            form(
                "[A-Za-z_][A-Za-z0-9_]*",
                "not a valid variable name",
                "use letters, digits and `_`, such as `OMP_NUM_THREADS`",
            ),
        ),
    ),
]


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods that don't tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Part):
    """A taint that the pods tolerate."""

    key: OptionalLabelKey = Field(
        default="", description="Key of the taint; empty with `Exists` means all.", examples=["nvidia.com/gpu"]
    )
    operator: TolerationOperator = Field(default=TolerationOperator.EQUAL, description="How the value is compared.")
    value: LabelValue = Field(default="", description="Value of the taint, with `Equal`.", examples=["present"])
    effect: TaintEffect | None = Field(default=None, description="Effect of the taint; none means all.")
    toleration_seconds: int | None = Field(
        default=None, ge=0, le=2**31, description="How long `NoExecute` is tolerated.", examples=[300]
    )


class WhenUnsatisfiable(StrEnum):
    """What the scheduler does where a spread can't be kept."""

    DO_NOT_SCHEDULE = "DoNotSchedule"
    SCHEDULE_ANYWAY = "ScheduleAnyway"


class NodeInclusion(StrEnum):
    """Whether nodes that a pod can't use count in a spread."""

    HONOR = "Honor"
    IGNORE = "Ignore"


class TopologySpreadConstraint(Part):
    """How the pods spread over zones or nodes."""

    max_skew: int = Field(ge=1, le=2**31 - 1, description="Greatest difference between two domains.", examples=[1])
    topology_key: LabelKey = Field(
        description="Node label that names the domain.", examples=["topology.kubernetes.io/zone"]
    )
    when_unsatisfiable: WhenUnsatisfiable = Field(description="What happens where it can't be kept.")
    label_selector: LabelSelector | None = Field(
        default=None, description="Which pods are counted; the Model's own if left out."
    )
    min_domains: int | None = Field(default=None, ge=1, le=2**31 - 1, description="Fewest domains.", examples=[2])
    node_affinity_policy: NodeInclusion | None = Field(
        default=None, description="Whether node affinity is honoured in the count."
    )
    node_taints_policy: NodeInclusion | None = Field(
        default=None, description="Whether node taints are honoured in the count."
    )
    match_label_keys: Annotated[tuple[LabelKey, ...], ListOf(16)] = Field(
        default=(), description="Pod labels whose values are added to the selector.", examples=[["pod-template-hash"]]
    )


class KeyReference(Part):
    """One key of a ConfigMap or Secret in the same namespace."""

    name: ObjectName = Field(description="The object's name.", examples=["settings"])
    key: MapKey = Field(description="The key in it.", examples=["proxy"])
    optional: bool = Field(default=False, description="Whether it may be missing.")


class PodFieldReference(Part):
    """A field of the pod itself."""

    field_path: Annotated[str, Text(256)] = Field(description="The field.", examples=["status.podIP"])
    api_version: Annotated[str, Text(64)] = Field(
        default="", description="Version of the pod's schema.", examples=["v1"]
    )


class EnvValueSource(Part):
    """Where a variable's value comes from: exactly one."""

    invariants = (
        Rule(
            "[has(self.configMapKeyRef), has(self.secretKeyRef), has(self.fieldRef)].filter(given, given).size() == 1",
            "exactly one of `configMapKeyRef`, `secretKeyRef` and `fieldRef` says where the value is",
            "give one of them",
            holds=lambda source: [source.config_map_key_ref, source.secret_key_ref, source.field_ref].count(None) == 2,
        ),
    )

    config_map_key_ref: KeyReference | None = Field(default=None, description="A key of a ConfigMap.")
    secret_key_ref: KeyReference | None = Field(default=None, description="A key of a Secret.")
    field_ref: PodFieldReference | None = Field(default=None, description="A field of the pod.")


class EnvVar(Part):
    """An environment variable of the engine."""

    invariants = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            "`value` and `valueFrom` exclude each other",
            "give one of them",
            holds=lambda variable: variable.value is None or variable.value_from is None,
        ),
    )

    name: EnvName = Field(description="Its name.", examples=["OMP_NUM_THREADS"])
    value: Annotated[str, Text(4096)] | None = Field(default=None, description="Its value.", examples=["2"])
    value_from: EnvValueSource | None = Field(default=None, description="Where its value comes from.")


class PodOptions(Part):
    """Handed through to the engine's pods as it stands."""

    labels: PodLabelMap = Field(default_factory=dict, description="Labels.", examples=[{"team": "a"}])
    annotations: AnnotationMap = Field(
        default_factory=dict, description="Annotations.", examples=[{"example.com/owner": "a"}]
    )
    node_selector: LabelMap = Field(
        default_factory=dict, description="Labels that nodes must have.", examples=[{"disk": "ssd"}]
    )
    tolerations: Annotated[tuple[Toleration, ...], ListOf(32)] = Field(default=(), description="Taints to tolerate.")
    affinity: Affinity | None = Field(default=None, description="Which nodes and which other pods are near.")
    topology_spread_constraints: Annotated[
        tuple[TopologySpreadConstraint, ...], ListOf(16, "map", ("topologyKey", "whenUnsatisfiable"))
    ] = Field(default=(), description="How the pods spread.")
    priority_class_name: OptionalObjectName = Field(default="", description="PriorityClass.", examples=["serving"])
    runtime_class_name: OptionalObjectName = Field(default="", description="RuntimeClass.", examples=["nvidia"])
    service_account_name: OptionalObjectName = Field(
        default="",
        description="Service account, for workload identity; none is mounted otherwise.",
        examples=["s3-reader"],
    )
    env: Annotated[tuple[EnvVar, ...], ListOf(64, "map", ("name",))] = Field(
        default=(), description="Environment of the engine.", examples=[[{"name": "OMP_NUM_THREADS", "value": "2"}]]
    )
    image_pull_secrets: Annotated[tuple[ObjectReference, ...], ListOf(16, "map", ("name",))] = Field(
        default=(), description="Secrets to pull images with.", examples=[[{"name": "registry"}]]
    )
