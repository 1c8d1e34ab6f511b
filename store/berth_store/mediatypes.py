"""The media types and annotations of model artifacts: Docker's format, which Berth writes, and what else it reads.

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

# v0.1 is for GGUF, whose files lie side by side; v0.2 keeps the folders of a model directory.
CONFIG_V01 = "application/vnd.docker.ai.model.config.v0.1+json"
CONFIG_V02 = "application/vnd.docker.ai.model.config.v0.2+json"
CONFIG_MODELPACK = "application/vnd.cncf.model.config.v1+json"
MODEL_CONFIGS = frozenset({CONFIG_V01, CONFIG_V02, CONFIG_MODELPACK})

GGUF = "application/vnd.docker.ai.gguf.v3"
SAFETENSORS = "application/vnd.docker.ai.safetensors"
PROJECTOR = "application/vnd.docker.ai.mmproj"
CHAT_TEMPLATE = "application/vnd.docker.ai.chat.template.jinja"
LICENSE = "application/vnd.docker.ai.license"
MODEL_FILE = "application/vnd.docker.ai.model.file"

# Where detection looks for a chat template beside the weights.
CHAT_TEMPLATE_NAME = "chat_template.jinja"
# The file names of layers that bear none; mostly as Docker Model Runner unpacks them.
DEFAULT_NAMES = {
    GGUF: "model.gguf",
    SAFETENSORS: "model.safetensors",
    PROJECTOR: "model.mmproj",
    "application/vnd.docker.ai.gguf.v3.mmproj": "model.mmproj",
    CHAT_TEMPLATE: CHAT_TEMPLATE_NAME,
    LICENSE: "LICENSE",
    "application/vnd.cncf.model.weight.v1.gguf": "model.gguf",
    "application/vnd.cncf.model.weight.v1.safetensors": "model.safetensors",
}

# Layers that hold an archive: Berth reads files, each a layer, and unpacks nothing.
ARCHIVE_SUFFIXES = (".tar", "+gzip", "+zstd")
