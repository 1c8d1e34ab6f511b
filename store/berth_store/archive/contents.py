"""From the inventories of an artifact's archives to the files of its model: one rule, for pull and resolver. Pure.

An artifact's archives lie side by side. Those of an image lie one above the other and hold a file system, of which the
folder with the model counts: `scopes` says what is to be listed, `files_in` what of it counts.
"""

from collections.abc import Sequence

from berth_store.archive.inventory import File, Inventory, merge, model_files
from berth_store.archive.kinds import ArchiveLayer, Scope, archive_layers, is_image
from berth_store.errors import NoModelInSource
from berth_store.manifest import Manifest


def scopes(manifest: Manifest) -> tuple[Scope, ...]:
    """What of the archives is listed: the next one only where the one before has no files.

    An image of nothing but a model may have it at the root: one with a system in it has links, and is refused there.
    """
    return (Scope.MODELS, Scope.ALL) if is_image(manifest) else (Scope.ALL,)


def files_in(manifest: Manifest, scope: Scope, inventories: Sequence[Inventory], origin: str) -> tuple[File, ...]:
    """The files of the archives, by their names in the view; `inventories` are of this scope, one for each archive.

    Raises NoModelInSource for an image without a file, and for an archive that takes files away and is no image's.
    """
    if not is_image(manifest):
        for layer, inventory in zip(archive_layers(manifest), inventories, strict=True):
            _check_no_image(inventory, layer, origin)
        return tuple(file for inventory in inventories for file in inventory.files)
    merged = merge(inventories)
    if scope is Scope.MODELS:
        return model_files(merged)
    if not merged:
        raise NoModelInSource(f"{origin}: this container image holds no files; put the model under /models")
    return merged


def refusal(origin: str, layer: ArchiveLayer, why: str) -> NoModelInSource:
    """The error for an archive that is refused; `why` is the end of a sentence about it."""
    return NoModelInSource(
        f"{origin}: layer {layer.number} ({layer.descriptor.digest[:19]}…, {layer.descriptor.media_type}) is refused: "
        f"{why}; nothing of it was kept. Package the model again from a source that you trust"
    )


def _check_no_image(inventory: Inventory, layer: ArchiveLayer, origin: str) -> None:
    if inventory.removed or inventory.emptied:
        gone = (*inventory.removed, *inventory.emptied)[0]
        raise refusal(origin, layer, f"it takes away {gone!r} from layers below it, as only those of images may")
