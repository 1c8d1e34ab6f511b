"""`resolve`: from a name to what the artifact is, by the list of its files and their headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.engines import formats_of
from berth_api.errors import UnsupportedModel
from berth_store.detect.paged import detect_adapter_paged, detect_paged
from berth_store.digest import Digest
from berth_store.errors import DigestMismatch
from berth_store.registries import RegistryConfig
from berth_store.resolver.look import in_words_of, look
from berth_store.resolver.scratch import Scratch
from berth_store.signing.demand import Demand
from berth_store.sources.address import Address, Name
from berth_store.sources.identity import listed_digest
from berth_store.sources.opened import open_source
from berth_store.sources.protocol import Gathered, ListedFile, Listing
from berth_store.transport import Transport

if TYPE_CHECKING:
    from berth_store.detect.model import DetectedAdapter, DetectedModel


@dataclass(frozen=True)
class Resolution:
    """What an artifact is. `weights` is the main file's name in the artifact, `notes` say what was passed over.

    `revision` is the commit at which it was found, empty where there is none.
    """

    artifact: Artifact
    weights: str
    notes: tuple[str, ...] = ()
    revision: str = ""


async def resolve(
    name: Name,
    *,
    registries: RegistryConfig,
    scratch: Path,
    task: Task = Task.AUTO,
    engine: EngineType = EngineType.AUTO,
    weights_format: Format | None = None,
    own_template: bool = False,
    demand: Demand | None = None,
    adapter: bool = False,
    pickles: bool = False,
) -> Resolution:
    """What the artifact is; `scratch` is an empty folder for the parts of it that are looked at.

    `task` and `weights_format` are the user's words, `own_template` says that they give a chat template too, `pickles`
    that weights may be some; without a format, what the `engine` loads is looked for. Raises what `berth_store.errors`
    lists, UnsupportedModel where it is no model, Unavailable where it can't be looked at now. What a `demand` asks of
    its signature is judged too, as far as digests are known.
    """
    async with Transport(registries) as transport:
        source = open_source(name, transport, registries)
        listing = await source.list_files()
        there = Scratch(scratch, source, str(name), registries)
        inside = await there.look_into(listing.manifest) if listing.manifest else ()
        looked = await look(name, listing, inside, there)
        signer = await _signer(name, Gathered(source, listing, inside, looked.digests), demand, registries)
        try:
            found: DetectedModel | DetectedAdapter
            if adapter:
                found = await detect_adapter_paged(there.view, there.supply)
            else:
                formats = {weights_format} if weights_format else formats_of(engine)
                found = await detect_paged(
                    there.view, there.supply, task=task, formats=formats, own_template=own_template, pickles=pickles
                )
        except UnsupportedModel as error:
            raise type(error)(in_words_of(name, str(error), there.view)) from error
    facts = {
        "digest": held_to(name, listing, looked.files),
        "size_bytes": looked.size_bytes,
        "signer": signer or None,
    }
    return Resolution(
        artifact=found.artifact.model_copy(update=facts),
        weights=str(found.weights[0].relative_to(there.view)),
        notes=(*(in_words_of(name, note, there.view) for note in found.notes), *looked.notes),
        revision=listing.revision,
    )


async def _signer(name: Name, there: Gathered, demand: Demand | None, registries: RegistryConfig) -> str:
    if demand is None:
        return ""
    from berth_store.signing.judge import Judge  # noqa: PLC0415 - it takes the library for keys with it

    return await Judge(demand).foresee(there, str(name), registries)


def held_to(name: Name, listing: Listing, files: Sequence[ListedFile]) -> Digest:
    """The digest that everybody who fetches is held to: the pin, if there is one, else that of what was found.

    Raises DigestMismatch where it is plain already that the pin is not what is there. Where digests are only known
    once the files are read, whoever fetches them sees to it.
    """
    if listing.digest is not None:
        return listing.digest  # The registry's client has compared it.
    found, pinned = listed_digest(files), name.digest
    if pinned is None or found == pinned:
        return found
    alone = files[0].digest if len(files) == 1 else None
    if isinstance(name, Address) and pinned != alone and all(file.digest for file in files):
        raise DigestMismatch(
            f"{name.unpinned}: the files there have the digest {found}, not {pinned}; pin the digest that is there, or "
            "ask whoever changed them"
        )
    return pinned
