"""What is known of a model's weights before anything loads them: format, task, size, digest.

`berth_store` reads these values from headers, `berth_api.engines` chooses an engine by them, and the Model's status
shows them. Enum values are the words of the API.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from berth_api.part import StatusPart
from berth_api.scalars import Clipped


class Format(StrEnum):
    """The file format of the weights."""

    GGUF = "GGUF"
    ONNX = "ONNX"
    SAFETENSORS = "Safetensors"
    PYTORCH = "PyTorch"
    TFLITE = "TFLite"


class Task(StrEnum):
    """What a model does. `AUTO` means: read it from the artifact."""

    AUTO = "Auto"
    CHAT = "Chat"
    COMPLETION = "Completion"
    EMBEDDING = "Embedding"
    RERANK = "Rerank"
    TEXT_CLASSIFICATION = "TextClassification"
    TOKEN_CLASSIFICATION = "TokenClassification"  # noqa: S105 - a task, not a token
    IMAGE_CLASSIFICATION = "ImageClassification"
    OBJECT_DETECTION = "ObjectDetection"
    TEXT_RECOGNITION = "TextRecognition"


class EngineType(StrEnum):
    """The engines. `AUTO` means: chosen by format, task and hardware."""

    AUTO = "Auto"
    VLLM = "VLLM"
    LLAMA_CPP = "LlamaCpp"
    ONNX_RUNTIME = "OnnxRuntime"
    LITERT = "LiteRT"
    TORCH = "Torch"


class Artifact(StatusPart):
    """A resolved artifact, as `status.artifact` shows it. Everything but format and task may be unknown."""

    format: Format = Field(description="The file format of the weights.")
    task: Task = Field(description="What the model does.")
    digest: Annotated[str, Clipped(71)] | None = Field(
        default=None, description="`sha256:` digest of the OCI manifest."
    )
    architecture: Annotated[str, Clipped(64)] | None = Field(
        default=None, description="The architecture's own name, such as `llama` or `bert`."
    )
    parameters: int | None = Field(default=None, ge=0, description="Number of weights.")
    quantization: Annotated[str, Clipped(64)] | None = Field(default=None, description="Such as `Q4_1` or `F16`.")
    context_length: int | None = Field(default=None, ge=1, description="The longest sequence in tokens.")
    kv_bytes_per_token: int | None = Field(
        default=None, ge=1, description="Bytes of KV cache for each token of a sequence, at 16 bits for a number."
    )
    size_bytes: int | None = Field(default=None, ge=0, description="Bytes of all files together.")
    signer: Annotated[str, Clipped(512)] | None = Field(
        default=None, description="Who has signed it, where `spec.source.signature` asks for a signature."
    )
