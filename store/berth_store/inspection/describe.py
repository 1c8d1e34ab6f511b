"""From evidence to a `Description`: `describe`. Pure, and the same for the store and for every source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from berth_store import mediatypes
from berth_store.detect import DetectedAdapter, DetectedModel
from berth_store.digest import Digest
from berth_store.inspection.description import DescribedArchive, DescribedFile, Description
from berth_store.inspection.published import published_format
from berth_store.inspection.signers import name_signers
from berth_store.manifest import Manifest
from berth_store.model_config import ConfigFacts, parse_config
from berth_store.packing import media_type_of
from berth_store.reference import Reference
from berth_store.resolver.look import Look, in_words_of
from berth_store.sources.address import Name
from berth_store.view import file_layers, layer_names

_PROJECTORS = frozenset(kind for kind, name in mediatypes.DEFAULT_NAMES.items() if name.endswith(".mmproj"))
_TEMPLATES = frozenset({mediatypes.CHAT_TEMPLATE})
_ADAPTERS = frozenset({mediatypes.ADAPTER})
_MOST_TEXT = 200


@dataclass(frozen=True)
class Written:
    """A manifest, its digest, and the content of the config that it names."""

    digest: Digest
    manifest: Manifest
    config: bytes


@dataclass(frozen=True)
class Evidence:
    """What was found of the artifact `name`.

    `identity` is the digest that `spec.source.digest` may pin. `written` is None where nobody can write a manifest yet,
    for the digests of the files are not known. `found` is what detection says of the files below `view`, or None, and
    then `problem` says why. `is_unpacked` tells that the digests of what lies in archives are true ones.
    """

    name: Name
    tags: tuple[str, ...]
    looked: Look
    written: Written | None
    identity: Digest | None
    view: Path
    found: DetectedModel | DetectedAdapter | None = None
    problem: str = ""
    signatures: tuple[bytes, ...] = ()
    is_unpacked: bool = False

    @property
    def is_published(self) -> bool:
        """False for files of a source, whose manifest the store makes."""
        return isinstance(self.name, Reference)

    def in_words(self, text: str) -> str:
        """What detection says, with the artifact's name in place of the folder."""
        return in_words_of(self.name, text, self.view)


def describe(evidence: Evidence) -> Description:
    """What the evidence comes to."""
    written, looked, found = evidence.written, evidence.looked, evidence.found
    manifest = written.manifest if written else None
    stated = _stated(written)
    files = tuple(_files(evidence))
    measured = {"digest": evidence.identity, "size_bytes": looked.size_bytes}
    return Description(
        digest=written.digest if written else None,
        tags=evidence.tags,
        created=stated.created,
        stated=stated.artifact,
        published_format=published_format(manifest) if manifest and evidence.is_published else None,
        media_type=manifest.media_type if manifest else None,
        artifact_type=manifest.artifact_type if manifest else None,
        config_media_type=manifest.config.media_type if manifest else None,
        revision=looked.listing.revision or None,
        size_bytes=manifest.size_bytes if manifest else looked.size_bytes,
        artifact=found.artifact.model_copy(update=measured) if found else None,
        problem=evidence.in_words(evidence.problem) or None,
        adapter_rank=found.rank if isinstance(found, DetectedAdapter) else None,
        chat_template=_has_template(found, files),
        weights=tuple(_relative(found.weights, evidence.view)) if found else (),
        projector=_projector(evidence, files),
        adapters=_adapters(evidence, files),
        licenses=_licenses(stated, manifest),
        license_files=tuple(file.path for file in files if _is_license(file)),
        signatures=name_signers(evidence.signatures),
        notes=(*map(evidence.in_words, found.notes if found else ()), *looked.notes),
        files=files,
        archives=tuple(
            DescribedArchive(digest=layer.digest, size_bytes=layer.size, media_type=layer.media_type)
            for layer in (archive.descriptor for archive in looked.listing.archives)
        ),
    )


def _stated(written: Written | None) -> ConfigFacts:
    if written is None:
        return ConfigFacts(None, None)
    return parse_config(written.config, digest=written.digest, size_bytes=written.manifest.size_bytes)


def _files(evidence: Evidence) -> Iterator[DescribedFile]:
    """The files in the order of the manifest, and after them those of the archives."""
    manifest = evidence.written.manifest if evidence.written else None
    layers = zip(layer_names(manifest), file_layers(manifest), strict=True) if manifest else ()
    types = {name: layer.media_type for name, layer in layers}
    packed = frozenset(evidence.looked.inside)
    for file in evidence.looked.files:
        if file in packed:
            digest = file.digest if evidence.is_unpacked else None
            yield DescribedFile(path=file.path, size_bytes=file.size, digest=digest)
        else:
            kind = types.get(file.path)
            yield DescribedFile(path=file.path, size_bytes=file.size, digest=file.digest, media_type=kind)


def _has_template(found: DetectedModel | DetectedAdapter | None, files: Sequence[DescribedFile]) -> bool:
    """Whether detection has found one; where it has found no model, whether a file is one."""
    if isinstance(found, DetectedModel):
        return found.chat_template is not None
    return bool(_of_kind(files, _TEMPLATES)) or any(file.path == mediatypes.CHAT_TEMPLATE_NAME for file in files)


def _projector(evidence: Evidence, files: Sequence[DescribedFile]) -> str | None:
    found = evidence.found
    if isinstance(found, DetectedModel) and found.projector is not None:
        return next(_relative((found.projector,), evidence.view))
    return next(iter(_of_kind(files, _PROJECTORS)), None)


def _adapters(evidence: Evidence, files: Sequence[DescribedFile]) -> tuple[str, ...]:
    found = evidence.found
    if isinstance(found, DetectedAdapter):
        return tuple(_relative(found.weights, evidence.view))
    return _of_kind(files, _ADAPTERS)


def _licenses(stated: ConfigFacts, manifest: Manifest | None) -> tuple[str, ...]:
    annotated = (manifest.annotations or {}).get(mediatypes.ANNOTATION_LICENSES) if manifest else None
    return tuple(dict.fromkeys((*stated.licenses, *([annotated[:_MOST_TEXT]] if annotated else []))))


def _is_license(file: DescribedFile) -> bool:
    return mediatypes.LICENSE in {file.media_type, media_type_of(file.path)}


def _of_kind(files: Sequence[DescribedFile], kinds: frozenset[str]) -> tuple[str, ...]:
    return tuple(file.path for file in files if file.media_type in kinds)


def _relative(paths: Sequence[Path], view: Path) -> Iterator[str]:
    return (path.relative_to(view).as_posix() for path in paths)
