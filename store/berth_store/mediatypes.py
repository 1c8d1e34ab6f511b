"""The media types and annotations of model artifacts: of the two formats that Berth writes, and what else it reads.

The names of the OCI specifications come from oras, so that there is one dictionary of them. Docker's are from the code
of docker/model-runner (its published specification lags behind), the CNCF ones from modelpack/model-spec.
"""

import oras.defaults

OCI_MANIFEST: str = oras.defaults.default_manifest_media_type
OCI_INDEX: str = oras.defaults.default_index_media_type
DOCKER_MANIFEST: str = oras.defaults.docker_manifest_media_type
DOCKER_INDEX: str = oras.defaults.docker_manifest_list_media_type
MANIFESTS: tuple[str, ...] = tuple(oras.defaults.default_manifest_accepted_media_types)
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})

ANNOTATION_REFERENCE: str = oras.defaults.oci_ref_name_annotation
ANNOTATION_TITLE: str = oras.defaults.annotation_title
# Docker and the CNCF name a layer's file by this one; podman's artifact mounts and oras read the title.
ANNOTATION_FILEPATH = "org.cncf.model.filepath"
# ModelPack's own name for it before it moved to the CNCF.
_ANNOTATION_FILEPATH_CNAI = "org.cnai.model.filepath"
NAME_ANNOTATIONS = (ANNOTATION_FILEPATH, _ANNOTATION_FILEPATH_CNAI, ANNOTATION_TITLE)
ANNOTATION_LICENSES = "org.opencontainers.image.licenses"
ANNOTATION_UNPACK: str = oras.defaults.annotation_unpack

# v0.1 is for GGUF, whose files lie side by side; v0.2 keeps the folders of a model directory.
CONFIG_V01 = "application/vnd.docker.ai.model.config.v0.1+json"
CONFIG_V02 = "application/vnd.docker.ai.model.config.v0.2+json"
CONFIG_MODELPACK = "application/vnd.cncf.model.config.v1+json"
CONFIG_KITOPS = "application/vnd.kitops.modelkit.config.v1+json"
MODEL_CONFIGS = frozenset({CONFIG_V01, CONFIG_V02, CONFIG_MODELPACK, CONFIG_KITOPS})
# ModelPack asks for this artifactType; Docker's format has none.
MODELPACK_MANIFEST = "application/vnd.cncf.model.manifest.v1+json"
MODEL_ARTIFACTS = frozenset({MODELPACK_MANIFEST, "application/vnd.cnai.model.manifest.v1+json"})

# Container images, whose layers hold the model as part of a file system.
IMAGE_CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
IMAGE_LAYER: str = oras.defaults.default_blob_media_type

GGUF = "application/vnd.docker.ai.gguf.v3"
SAFETENSORS = "application/vnd.docker.ai.safetensors"
PROJECTOR = "application/vnd.docker.ai.mmproj"
# A LoRA in GGUF, beside a model or alone. Named by Docker's specification; its own tools neither write nor read it.
ADAPTER = "application/vnd.docker.ai.gguf.v3.lora"
CHAT_TEMPLATE = "application/vnd.docker.ai.chat.template.jinja"
LICENSE = "application/vnd.docker.ai.license"
MODEL_FILE = "application/vnd.docker.ai.model.file"

MODELPACK_WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
MODELPACK_SETTINGS = "application/vnd.cncf.model.weight.config.v1.raw"
MODELPACK_DOC = "application/vnd.cncf.model.doc.v1.raw"
MODELPACK_CODE = "application/vnd.cncf.model.code.v1.raw"

# Where detection looks for a chat template beside the weights.
CHAT_TEMPLATE_NAME = "chat_template.jinja"
# The file names of layers that bear none; mostly as Docker Model Runner unpacks them.
DEFAULT_NAMES = {
    GGUF: "model.gguf",
    SAFETENSORS: "model.safetensors",
    PROJECTOR: "model.mmproj",
    "application/vnd.docker.ai.gguf.v3.mmproj": "model.mmproj",
    ADAPTER: "adapter.gguf",
    CHAT_TEMPLATE: CHAT_TEMPLATE_NAME,
    LICENSE: "LICENSE",
    "application/vnd.cncf.model.weight.v1.gguf": "model.gguf",
    "application/vnd.cncf.model.weight.v1.safetensors": "model.safetensors",
}
