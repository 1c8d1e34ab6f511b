"""The published format of an artifact, by its manifest. Pure."""

from berth_store import mediatypes
from berth_store.archive.kinds import is_image
from berth_store.inspection.description import PublishedFormat
from berth_store.manifest import Manifest

_BY_CONFIG = {
    mediatypes.CONFIG_V01: PublishedFormat.DOCKER_V01,
    mediatypes.CONFIG_V02: PublishedFormat.DOCKER_V02,
    mediatypes.CONFIG_MODELPACK: PublishedFormat.MODELPACK,
    mediatypes.CONFIG_KITOPS: PublishedFormat.KITOPS,
}


def published_format(manifest: Manifest) -> PublishedFormat:
    """The format, by the rules by which the store reads an artifact; `files` for what is of none of the others."""
    if is_image(manifest):
        return PublishedFormat.IMAGE
    return _BY_CONFIG.get(manifest.config.media_type, PublishedFormat.FILES)
