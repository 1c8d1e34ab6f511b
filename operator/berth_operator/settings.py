"""What the operator is told from outside: the file that the chart writes, and the pod's own name from the environment.

Unknown fields are refused, and every mistake names its field: a typing error in the chart's values must not be found by
a Model that behaves oddly.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from berth_api.errors import FieldError, InvalidSpec
from berth_api.quantity import Quantity


class Section(BaseModel):
    """A part of the file: camelCase outside, snake_case inside."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Images(Section):
    """The images of the pods that the operator makes. An empty one is not offered by this installation."""

    fetch: str
    cpu: str
    cuda: str = ""
    rocm: str = ""
    vllm: str = ""
    vllm_cpu: str = ""
    torch: str = ""


class Variable(Section):
    """An environment variable."""

    name: str
    value: str = ""


class ConfigMapKey(Section):
    """A key of a ConfigMap in the Model's own namespace; an empty name means none."""

    name: str = ""
    key: Annotated[str, Field(min_length=1)] = "ca.crt"


class CABundle(Section):
    """Where certificates of authorities stand that are trusted besides the public ones."""

    config_map: ConfigMapKey = ConfigMapKey()


class Loader(Section):
    """How resolver and loader reach their sources: registries in plain HTTP, authorities that are trusted besides the
    public ones, proxies by `env`, what they may use.
    """

    insecure_registries: tuple[str, ...] = ()
    ca_bundle: CABundle = CABundle()
    env: tuple[Variable, ...] = ()
    resources: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)


class Backend(StrEnum):
    """The computing platform of a GPU, which decides the engine's image."""

    CUDA = "CUDA"
    ROCM = "ROCm"


class Profile(Section):
    """A kind of GPU node as the administrator describes it. `memory` is what one device has."""

    resource: str = "nvidia.com/gpu"
    memory: Quantity
    backend: Backend = Backend.CUDA
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    runtime_class_name: str = ""


class Limits(Section):
    """How fast the operator may write to the API server."""

    writes_per_second: Annotated[float, Field(gt=0, le=1000)] = 50
    burst: Annotated[int, Field(ge=1, le=10_000)] = 100
    concurrent_writes: Annotated[int, Field(ge=1, le=64)] = 8


class LeaseSettings(Section):
    """The Lease by which one replica leads."""

    name: str = "berth-operator"
    duration_seconds: Annotated[int, Field(ge=3, le=300)] = 15
    renew_deadline_seconds: Annotated[float, Field(gt=1, le=290)] = 10
    retry_seconds: Annotated[float, Field(gt=0.1, le=60)] = 2


class OperatorSettings(Section):
    """Everything in the file. `watch_namespaces` empty means the whole cluster.

    `bare_names` are the namespaces whose objects may own bare names, empty for all: as the gateway is told.
    """

    namespace: str
    watch_namespaces: tuple[str, ...] = ()
    bare_names: tuple[str, ...] = ()
    images: Images
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    loader: Loader = Loader()
    profiles: Mapping[str, Profile] = Field(default_factory=dict)
    read_nodes: bool = True
    monitoring_labels: Mapping[str, str] = Field(default_factory=dict)
    limits: Limits = Limits()
    lease: LeaseSettings = LeaseSettings()
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def read_settings(path: Path) -> OperatorSettings:
    """The settings in a YAML file. Raises InvalidSpec with every field that is wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidSpec(FieldError(str(path), f"it can't be read: {error}", "write a YAML document there")) from error
    try:
        return OperatorSettings.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(*(_field_error(one) for one in error.errors())) from None


def _field_error(error: Any) -> FieldError:
    path = ".".join(str(part) for part in error["loc"]) or "the document"
    return FieldError(path, str(error["msg"]), "correct it in the chart's values, or in the operator's ConfigMap")
