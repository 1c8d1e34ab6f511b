"""Opening the source that a name leads to, and choosing of its files those that are wanted."""

from berth_store.errors import NoModelInSource
from berth_store.manifest import MAX_LAYERS
from berth_store.model_manifest import refuse_local
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.sources.address import Address, Name
from berth_store.sources.https import WebSource
from berth_store.sources.hugging_face import HubSource
from berth_store.sources.locations import BucketLocation, HubLocation, WebLocation
from berth_store.sources.oci import RegistrySource
from berth_store.sources.protocol import ListedFile, Source
from berth_store.sources.s3 import BucketSource
from berth_store.sources.selection import Selection, select_matching, select_model
from berth_store.transport import Transport


def open_source(name: Name, transport: Transport, config: RegistryConfig) -> Source:
    """The source; nothing is asked of it yet. Raises InvalidSpec or SourceError where it can't be asked at all."""
    location = name.location if isinstance(name, Address) else name
    match location:
        case HubLocation():
            return HubSource(location, transport, config)
        case WebLocation():
            return WebSource(location, transport, config)
        case BucketLocation():
            return BucketSource(location, transport, config)
        case Reference():
            refuse_local(location)
            return RegistrySource(location, transport, config)


def select(name: Name, files: tuple[ListedFile, ...]) -> Selection:
    """The files that are wanted, sorted by path.

    Raises NoModelInSource where there are none, or a choice is left, and PickleRefused.
    """
    origin = str(name)
    if not isinstance(name, Address):
        return Selection(files)
    if name.files:
        selection = select_matching(files, name.files, origin, name.trust)
    elif isinstance(name.location, HubLocation):
        selection = select_model(files, name.location.quantization, origin, name.trust)
    elif isinstance(name.location, BucketLocation):
        selection = select_model(files, "", origin, name.trust)
    elif isinstance(name.location, WebLocation):
        selection = select_matching(files, ("*",), origin, name.trust)
    else:
        return Selection(files)
    if len(selection.files) > MAX_LAYERS:
        raise NoModelInSource(f"{origin}: {len(selection.files):,} files are too many; name some in spec.source.files")
    return Selection(tuple(sorted(selection.files, key=lambda file: file.path)), selection.notes)
