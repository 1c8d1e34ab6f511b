"""Where a model comes from and what may be believed of it: `source`, `artifact`, `trust`, `adapters`, `draft`."""

import re
from typing import Annotated

from pydantic import Field

from berth_api.artifact import Format, Task
from berth_api.bounds import ListOf
from berth_api.claim_path import SCHEME as ON_CLAIM
from berth_api.claim_path import claim_path
from berth_api.part import Part
from berth_api.rules import Rule
from berth_api.scalars import Digest, Name, ObjectName, Text, form
from berth_api.signature import Signature

SCHEMES = ("hf", "oci", "https", "s3", "gs", "pvc", "file")
_PASSWORD = re.compile(r"(https|s3|gs)://[^/]*@")

SourceUri = Annotated[
    str,
    Text(
        2048,
        (
            form(
                f"({'|'.join(SCHEMES)})://[!-~]+",
                "not a valid source",
                f"start with one of {', '.join(f'`{scheme}://`' for scheme in SCHEMES)} and write no spaces, "
                "such as `oci://registry.example.com/ai/qwen3:8b`",
            ),
            Rule(
                "!self.matches('^(https|s3|gs)://[^/]*@')",
                "everyone who reads the Model could read this password",
                "put it into a Secret and name that in `secretRef`",
                holds=lambda uri: not _PASSWORD.match(uri),
            ),
            Rule(
                "!self.startsWith('pvc://') || self.matches('^pvc://[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(/[^/]+)*/?"
                "(@sha256:[0-9a-f]{64})?$') && !self.matches('/[.][.]?(/|$)')",
                "not a claim and a path in it",
                "write `pvc://`, the claim's name, and below it the folder or file of the model, such as "
                "`pvc://models/qwen3-8b`",
                holds=lambda uri: not uri.startswith(ON_CLAIM) or claim_path(uri) is not None,
            ),
            Rule(
                "!self.startsWith('file://')",
                "a cluster has no files of yours",
                "use `pvc://claim/path`, or push the model to a registry and use `oci://`; `file://` works on a laptop",
            ),
        ),
    ),
]
FileGlob = Annotated[
    str,
    Text(
        256,
        (
            form("[^/]([^/]|/[^/])*", "not a valid file pattern", "write a relative pattern, such as `*.safetensors`"),
            Rule(
                "!self.matches('(^|/)[.][.](/|$)')",
                "`..` would leave the source",
                "name files below the source's own root",
                holds=lambda glob: ".." not in glob.split("/"),
            ),
        ),
    ),
]


class ObjectReference(Part):
    """Another object in the same namespace, by its name."""

    name: ObjectName = Field(description="Its name.", examples=["hf-token"])


class Source(Part):
    """Where the weights are."""

    uri: SourceUri = Field(
        description="`oci://registry/repository:tag`, `hf://organisation/model@revision:QUANTISATION` (both may be "
        "left out), `https://host/file`, `s3://bucket/prefix`, `gs://` or `pvc://claim/path`; on a laptop also "
        "`file://`.",
        examples=["oci://registry.example.com/ai/qwen3:8b"],
    )
    files: Annotated[tuple[FileGlob, ...], ListOf(64, "set")] = Field(
        default=(),
        description="Only the files that match one of these patterns, read as git reads its own: without a slash in "
        "any folder, with one the whole path. Without patterns it is what one model needs. Pickles are never taken "
        "unless `trust.pickle` is set.",
        examples=[["*.safetensors", "*.json"]],
    )
    digest: Digest | None = Field(
        default=None,
        description="Pin: the digest of the OCI manifest, or of the sorted list (path, size, sha256) of the files, or "
        "the sha256 of the one file. Content of another digest is refused. Without it, pods are held to what was found "
        "first.",
        examples=["sha256:" + "0" * 64],
    )
    secret_ref: ObjectReference | None = Field(
        default=None,
        description="Secret with the credentials, mounted into resolver and loader only, and used only for the hosts "
        "that the Secret itself names: for `oci://` of type kubernetes.io/dockerconfigjson; else with the keys `host`, "
        "and `token` or `username` and `password`; for `s3://` accessKeyId, secretAccessKey, sessionToken, endpoint, "
        "region.",
    )
    signature: Signature | None = Field(
        default=None,
        description="Who must have signed the files, by OpenSSF model signing: as `model.sig` beside them, or attached "
        "to the OCI artifact. Before anything of it becomes visible to a pod, every file is compared with what was "
        "signed. Without it nobody has to have signed.",
    )


class ArtifactOverrides(Part):
    """What is known of the artifact already. With `source.digest`, format and task, nothing has to be looked up."""

    format: Format | None = Field(default=None, description="The file format of the weights.")
    task: Task | None = Field(default=None, description="What the model does.")
    parameters: int | None = Field(default=None, ge=1, description="Number of weights.", examples=[8_190_735_360])
    quantization: Annotated[str, Text(64)] | None = Field(
        default=None, description="Quantisation of the weights.", examples=["Q4_K_M"]
    )
    context_length: int | None = Field(
        default=None,
        ge=1,
        le=1 << 30,
        description="The longest sequence that the model was made for, in tokens.",
        examples=[32768],
    )
    size_bytes: int | None = Field(
        default=None, ge=1, description="Bytes of all files together.", examples=[5_027_783_488]
    )


class Draft(Part):
    """A small model that guesses the next tokens of the large one, which checks several at once and has the say."""

    source: Source = Field(description="Where its weights are: a GGUF with the same vocabulary.")
    tokens: int = Field(default=3, ge=1, le=32, description="Tokens that it guesses at a time, at most.")
    min_probability_percent: int = Field(
        default=0, ge=0, le=100, description="It stops guessing at a token of which it is less sure than this."
    )


class Adapter(Part):
    """A LoRA adapter, which clients address as `<model>:<adapter>`."""

    name: Name = Field(description="The adapter's name.", examples=["sql"])
    source: Source = Field(description="Where the adapter's weights are.")
