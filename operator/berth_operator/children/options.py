"""How the parts of `spec.pod` are written into a pod: as they were given, and nothing where nothing was."""

from berth_api.part import Part
from berth_api.pod import PodOptions
from berth_operator.children.metadata import Manifest
from berth_operator.settings import OperatorSettings


def as_given(part: Part) -> Manifest:
    """A part of the manifest as the user wrote it: what was left out stays out."""
    return part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def pull_secrets(options: PodOptions, settings: OperatorSettings) -> list[Manifest]:
    """The Secrets to pull images with: those of the installation, then the user's, each once."""
    names = dict.fromkeys((*settings.image_pull_secrets, *(secret.name for secret in options.image_pull_secrets)))
    return [{"name": name} for name in names]
