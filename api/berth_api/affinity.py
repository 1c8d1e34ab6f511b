"""Affinity in the words of a Kubernetes pod: `pod.affinity`.

Every part has its fields, although the API server checks them only when the pods are made: an object of any form could
be nested thousands of levels deep, and whoever reads all Models would stumble over that one.
"""

from typing import Annotated

from pydantic import Field

from berth_api.bounds import ListOf
from berth_api.label_selector import LabelSelector
from berth_api.part import Part
from berth_api.scalars import Text

_Word = Annotated[str, Text(317)]
_Words = Annotated[tuple[_Word, ...], ListOf(64)]
Weight = Annotated[int, Field(ge=0, le=100)]


class NodeRequirement(Part):
    """A requirement of a node's labels or fields."""

    key: _Word = Field(description="Key of the label, or the field.", examples=["kubernetes.io/arch"])
    operator: Annotated[str, Text(32)] = Field(
        description="`In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.", examples=["In"]
    )
    values: _Words = Field(default=(), description="The values.", examples=[["arm64"]])


_Requirements = Annotated[tuple[NodeRequirement, ...], ListOf(32)]


class NodeTerm(Part):
    """Nodes that meet all requirements."""

    match_expressions: _Requirements = Field(default=(), description="Requirements of labels.")
    match_fields: _Requirements = Field(default=(), description="Requirements of fields, such as `metadata.name`.")


class NodeSelector(Part):
    """Nodes that one of the terms means."""

    node_selector_terms: Annotated[tuple[NodeTerm, ...], ListOf(32)] = Field(description="The terms.")


class PreferredNodes(Part):
    """Nodes that are preferred to others."""

    weight: Weight = Field(description="How much, from 1 to 100.", examples=[50])
    preference: NodeTerm = Field(description="Which nodes.")


class NodeAffinity(Part):
    """Which nodes the pods may run on, and which they should."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        default=None, description="Nodes that the pods need."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[tuple[PreferredNodes, ...], ListOf(32)] = Field(
        default=(), description="Nodes that they prefer."
    )


class PodTerm(Part):
    """Pods that are near or far: in the same domain or not."""

    label_selector: LabelSelector | None = Field(default=None, description="Which pods; none means no pod.")
    topology_key: _Word = Field(
        description="Node label that names the domain.", examples=["topology.kubernetes.io/zone"]
    )
    namespaces: _Words = Field(default=(), description="Their namespaces; empty means our own.", examples=[["team-b"]])
    namespace_selector: LabelSelector | None = Field(default=None, description="Their namespaces by label.")
    match_label_keys: _Words = Field(
        default=(), description="Pod labels whose values are added to the selector.", examples=[["pod-template-hash"]]
    )
    mismatch_label_keys: _Words = Field(
        default=(), description="Pod labels whose values are excluded by the selector.", examples=[["tenant"]]
    )


class PreferredPods(Part):
    """Pods whose domain is preferred, or avoided."""

    weight: Weight = Field(description="How much, from 1 to 100.", examples=[100])
    pod_affinity_term: PodTerm = Field(description="Which pods.")


class PodAffinity(Part):
    """Which other pods must be near, or far, and which should be."""

    required_during_scheduling_ignored_during_execution: Annotated[tuple[PodTerm, ...], ListOf(16)] = Field(
        default=(), description="What is needed."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[tuple[PreferredPods, ...], ListOf(16)] = Field(
        default=(), description="What is preferred."
    )


class Affinity(Part):
    """Which nodes and which other pods are near."""

    node_affinity: NodeAffinity | None = Field(default=None, description="Of nodes.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Pods to be near.")
    pod_anti_affinity: PodAffinity | None = Field(default=None, description="Pods to be far from.")
