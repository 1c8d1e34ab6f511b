"""How the engine is run: `engine` and `chatTemplate` of a Model."""

from typing import Annotated

from pydantic import Field

from berth_api.artifact import EngineType
from berth_api.bounds import ListOf
from berth_api.part import Part
from berth_api.scalars import MapKey, ObjectName, Text, form, optional

EngineArgument = Annotated[
    str,
    Text(
        1024,
        (
            form(
                "(--)?[A-Za-z0-9][A-Za-z0-9_.-]*(=[ -~]*)?",
                "not a valid engine argument",
                "write `name=value` in printable ASCII, such as `batch-size=512`",
            ),
        ),
    ),
]
ImageReference = Annotated[
    str,
    Text(
        512,
        (
            optional(
                form(
                    "[a-zA-Z0-9][a-zA-Z0-9._:/@-]*",
                    "not a valid image",
                    "write `registry/repository:tag` or `…@sha256:…`",
                )
            ),
        ),
    ),
]


class Engine(Part):
    """Which program loads the weights and answers."""

    type: EngineType = Field(default=EngineType.AUTO, description="`Auto` chooses by format, task and hardware.")
    image: ImageReference = Field(
        default="",
        description="Image of the engine's pod instead of Berth's own.",
        examples=["registry.example.com/vllm:0.32"],
    )
    args: Annotated[tuple[EngineArgument, ...], ListOf(64)] = Field(
        default=(),
        description="Further arguments of the engine as `name=value`. Those that open ports, paths, code or developer "
        "endpoints are refused.",
        examples=[["batch-size=512"]],
    )


class ConfigMapKeyReference(Part):
    """One key of a ConfigMap in the same namespace."""

    name: ObjectName = Field(description="The ConfigMap's name.", examples=["chat-templates"])
    key: MapKey = Field(description="The key in it.", examples=["qwen.jinja"])


class ChatTemplate(Part):
    """A chat template (Jinja) instead of the model's own."""

    config_map_ref: ConfigMapKeyReference = Field(description="Where the template's text stands.")
