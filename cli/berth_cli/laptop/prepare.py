"""From a Model to a process that can be started: its artifacts found or pulled, looked at, and its launch built.

The order of the store first and the registry second is the user's expectation of `docker run`: a tag that is here is
used as it is; `berth pull` renews it.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from berth_api.adapters import check_adapters
from berth_api.artifact import Format, Task
from berth_api.drafts import check_draft
from berth_api.engines import choose_engine, formats_of
from berth_api.errors import FieldError, InvalidSpec, Unavailable, UnsupportedModel
from berth_api.launch import Launch, build_launch
from berth_api.model import Model
from berth_api.source import Source
from berth_api.trust import NO_TRUST, Trust
from berth_cli.laptop.parts import Preparation, Report
from berth_cli.laptop.rate import RateMeter
from berth_cli.laptop.standing import LOOPBACK
from berth_cli.laptop.view import ModelStage
from berth_store.detect import DetectedAdapter, DetectedModel, detect_adapter_bounded, detect_bounded
from berth_store.digest import Digest
from berth_store.errors import DigestMismatch, SourceNotFound
from berth_store.fetched import fetch_and_hold, hold_fetched, pin_of
from berth_store.holds import Hold
from berth_store.local import Store
from berth_store.progress import Progress, Stage
from berth_store.registries import RegistryConfig
from berth_store.signing.demand import Demand
from berth_store.signing.judge import Judge
from berth_store.sources.address import Name, source_name


@dataclass(frozen=True)
class _Place:
    """Where a source's files lie. `digest` is None for files of this machine, which nobody holds to one."""

    path: Path
    digest: Digest | None
    signer: str | None = None


class LocalPreparer:
    """Prepares with the store of this machine, and holds there what it has prepared until this process ends."""

    def __init__(self, store: Store, registries: RegistryConfig) -> None:
        self._store = store
        self._registries = registries
        self._held: dict[Digest, Hold] = {}

    async def prepare(self, model: Model, report: Report) -> Preparation:
        """See `berth_cli.laptop.parts.Preparer`."""
        try:
            return await self._prepare(model, report)
        except OSError as error:
            raise Unavailable(f"{error.filename or 'the store'} can't be used: {error.strerror or error}") from error

    async def _prepare(self, model: Model, report: Report) -> Preparation:
        report(ModelStage.RESOLVING, "", None)
        there = await self._bring(model.spec.source, "spec.source", report, model.spec.trust)
        adapters = {}
        for index, adapter in enumerate(model.spec.adapters):
            adapters[adapter.name] = await self._bring(adapter.source, f"spec.adapters[{index}].source", report)
        given = model.spec.draft
        draft = await self._bring(given.source, "spec.draft.source", report) if given is not None else None
        report(ModelStage.DETECTING, "", None)
        return await asyncio.to_thread(_detect, model, there, adapters, draft)

    async def _bring(self, source: Source, field: str, report: Report, trust: Trust = NO_TRUST) -> _Place:
        """Have the source's files on this machine."""
        if source.uri.startswith("file://"):
            return _Place(local_path(source, field), None)
        name = wanted_name(source, field, trust)
        demand = wanted_signature(source, field)
        digest = await self._resolve(name, demand, report)
        signer = await asyncio.to_thread(self._signer, name, demand, digest)
        return _Place(await asyncio.to_thread(self._store.view, digest), digest, signer)

    async def _resolve(self, name: Name, demand: Demand | None, report: Report) -> Digest:
        here = await asyncio.to_thread(self._find_and_hold, name, demand)
        if here is not None:
            return here
        meter = RateMeter()
        loop = asyncio.get_running_loop()

        def progress(moment: Progress) -> None:
            if moment.stage is Stage.RESOLVING:
                report(ModelStage.RESOLVING, f"asking {name.registry}", None)
            elif moment.bytes_total:
                transfer = meter.measure(moment.bytes_done, moment.bytes_total, loop.time())
                report(ModelStage.PULLING, "", transfer)

        digest, hold = await fetch_and_hold(
            self._store, name, registries=self._registries, progress=progress, demand=demand
        )
        if hold is not None:
            self._keep(pin_of(name, digest), hold)
        return digest

    def _find_and_hold(self, name: Name, demand: Demand | None) -> Digest | None:
        """What is here and can't be freed any more. Until it is held it could, so it is looked for again after."""
        digest = self._find(name, demand)
        hold = hold_fetched(self._store, name, digest) if digest is not None else None
        if digest is not None and hold is not None:
            self._keep(pin_of(name, digest), hold)
        return self._find(name, demand)

    def _keep(self, pin: Digest, hold: Hold) -> None:
        before = self._held.setdefault(pin, hold)
        if before is not hold:
            hold.close()

    def _find(self, name: Name, demand: Demand | None) -> Digest | None:
        """The digest of an artifact that is here with all its blobs, signed as demanded; any other is pulled again."""
        digest = self._store.resolve(name)
        try:
            if digest is None or self._store.missing(self._store.manifest(digest)):
                return None
        except (SourceNotFound, DigestMismatch):
            return None
        return digest if demand is None or Judge(demand).accepts(self._store, name, digest) else None

    def _signer(self, name: Name, demand: Demand | None, digest: Digest) -> str | None:
        return Judge(demand).signer_of(self._store, name, digest) if demand is not None else None


def wanted_name(source: Source, field: str = "spec.source", trust: Trust = NO_TRUST) -> Name:
    """The name of what a source holds, pinned if it is. Raises `InvalidSpec`; the source stands at `field`."""
    try:
        return source_name(source.uri, source.digest, source.files, trust=trust)
    except InvalidSpec as invalid:
        errors = (replace(error, path=error.path.replace("spec.source", field, 1)) for error in invalid.errors)
        raise InvalidSpec(*errors) from invalid


def wanted_signature(source: Source, field: str = "spec.source") -> Demand | None:
    """What is asked of the signature of what a source, which stands at `field`, holds. On a laptop keys and
    certificates stand in the Model itself.
    """
    signature = source.signature
    if signature is None:
        return None
    if signature.key is not None:
        return Demand(f"{field}.signature.key.pem", is_key=True, pem=signature.key.pem or "")
    assert signature.certificate is not None, "a rule of the API"
    pem, signers = signature.certificate.pem or "", signature.certificate.signers
    return Demand(f"{field}.signature.certificate.pem", is_key=False, pem=pem, signers=signers)


def local_path(source: Source, field: str = "spec.source") -> Path:
    """The path of a `file://` source, which stands at `field`. Raises `InvalidSpec` if it is none of this machine's."""
    uri = urlsplit(source.uri)
    path = Path(unquote(uri.path))
    if uri.netloc not in {"", "localhost"} or not path.is_absolute():
        message = f"{source.uri} is no path of this machine"
        raise InvalidSpec(FieldError(f"{field}.uri", message, "write the whole path after three slashes: file:///…"))
    if source.digest is not None:
        message = "files of this machine are not checked against a digest"
        remedy = "remove it, or make an artifact of the files with `berth package` and use oci://"
        raise InvalidSpec(FieldError(f"{field}.digest", message, remedy))
    if source.signature is not None:
        remedy = "remove it, or package the files with their signature (`model.sig`) and use oci://"
        message = "files of this machine are not held to a signature"
        raise InvalidSpec(FieldError(f"{field}.signature", message, remedy))
    if source.files:
        remedy = "remove it, and name the file or the folder that is meant"
        raise InvalidSpec(FieldError(f"{field}.files", "of files of this machine nothing is chosen", remedy))
    if not path.exists():
        raise UnsupportedModel(f"there is no file or folder {path}; correct {field}.uri")
    return path


def _detect(
    model: Model, there: _Place, adapter_places: Mapping[str, _Place], draft_place: _Place | None
) -> Preparation:
    spec, path = model.spec, there.path
    formats = formats_of(spec.engine.type)
    detected = detect_bounded(path, task=spec.task, formats=formats, pickles=spec.trust.pickle)
    if formats and path.is_dir():
        path = detected.weights[0]  # The runtime looks for itself, and is to find what the Model's engine needs.
    artifact = detected.artifact.model_copy(update={"digest": there.digest, "signer": there.signer})
    engine = choose_engine(artifact, wanted=spec.engine.type, gpu=spec.accelerator is not None)
    adapters = {name: _detect_adapter(name, place.path) for name, place in adapter_places.items()}
    check_adapters(engine, artifact, {name: adapter.artifact for name, adapter in adapters.items()})
    paths = {name: str(adapter.path) for name, adapter in adapters.items()}
    identities = [there.digest or _identity_of_files(detected)]
    draft_path = None
    if draft_place is not None:
        draft = _detect_draft(draft_place.path)
        check_draft(engine, artifact, draft.artifact)
        draft_path = str(draft.weights[0])
        identities.append(draft_place.digest or _stat_of(draft.weights))

    def launch(port: int) -> Launch:
        return build_launch(
            model,
            artifact,
            model_path=str(path),
            port=port,
            host=LOOPBACK,
            adapter_paths=paths,
            draft_path=draft_path,
        )

    identities += [place.digest or _stat_of(adapters[name].weights) for name, place in adapter_places.items()]
    return Preparation(
        artifact=artifact,
        engine=engine,
        fingerprint=_fingerprint(launch(1), identities),
        launch=launch,
        start_deadline_seconds=float(spec.rollout.start_deadline.seconds),
        notes=(*([f"signed by {there.signer}"] if there.signer else []), *detected.notes),
    )


def _detect_draft(path: Path) -> DetectedModel:
    try:
        return detect_bounded(path, task=Task.COMPLETION, formats=(Format.GGUF,), own_template=True)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"the draft model: {error}") from error


def _detect_adapter(name: str, path: Path) -> DetectedAdapter:
    try:
        return detect_adapter_bounded(path)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"the adapter {name}: {error}") from error


def _fingerprint(launch: Launch, identities: Sequence[str]) -> str:
    content = json.dumps([launch.argv, sorted(launch.env.items()), identities])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _identity_of_files(detected: DetectedModel) -> str:
    """What changes when somebody writes other weights to the same path."""
    return _stat_of([*detected.weights, *filter(None, [detected.tokenizer])])


def _stat_of(paths: Sequence[Path]) -> str:
    try:
        return json.dumps([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths])
    except OSError as error:
        raise UnsupportedModel(f"{error.filename} can't be read: {error.strerror}; is it being written?") from error
