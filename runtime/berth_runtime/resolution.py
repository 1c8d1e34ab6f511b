"""From the models and adapters of the command line to what a worker is told: detection by headers, choice of engine.

Detection runs in a bounded process of its own, so that a hostile file can't hurt this one.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from berth_api.adapters import FORMATS
from berth_api.artifact import EngineType, Format, Task
from berth_api.drafts import ENGINE as DRAFT_ENGINE
from berth_api.engines import choose_engine, formats_of
from berth_api.errors import UnsupportedModel
from berth_runtime.arguments import DraftArgument, ModelArgument, Options
from berth_runtime.engines import ENGINES
from berth_runtime.engines.protocol import DraftSettings, EngineSettings
from berth_runtime.machine import usable_cores, usable_memory_bytes
from berth_runtime.memory_shares import MemoryShares
from berth_runtime.messages import LoadOrder
from berth_runtime.served import ResolvedModel
from berth_store.detect import DetectedAdapter, DetectedModel, detect_adapter_bounded, detect_bounded

_SERVED_HERE: Final = ", ".join(ENGINES)


def shares_of(options: Options) -> MemoryShares:
    """The memory that the models of a command line share."""
    return MemoryShares(options.memory_bytes or usable_memory_bytes(), len(options.models))


async def resolve_model(argument: ModelArgument, options: Options, shares: MemoryShares | None = None) -> ResolvedModel:
    """What the path is and which engine gets it; raises `UnsupportedModel` or `InvalidSpec` with the reason.

    Of a folder with several formats the one that the wanted engine loads is meant. Without `shares` the model is alone.
    """
    model = await asyncio.to_thread(_detect, argument.path, options)
    adapters = await detect_adapters(options.adapters)
    draft = await asyncio.to_thread(_detect_draft, options.draft) if options.draft is not None else None
    artifacts = [model.artifact, *(adapter.artifact for adapter in adapters.values())]
    artifacts += [draft.artifact] if draft is not None else []
    sizes = [artifact.size_bytes for artifact in artifacts]
    memory_bytes = (shares or shares_of(options)).take(argument.name, sum(size or 0 for size in sizes))
    return plan_model(
        model,
        argument.name,
        options,
        adapters=adapters,
        draft=draft,
        threads=usable_cores(),
        memory_bytes=memory_bytes,
    )


async def detect_adapters(paths: Mapping[str, Path]) -> dict[str, DetectedAdapter]:
    """What lies at the paths, by the names of the adapters; raises `UnsupportedModel` with the name and the reason."""
    found = await asyncio.gather(*(asyncio.to_thread(_detect_adapter, name, path) for name, path in paths.items()))
    return dict(zip(paths, found, strict=True))


def check_formats(engine: EngineType, adapters: Mapping[str, DetectedAdapter]) -> None:
    """Raise `UnsupportedModel` for an adapter that the engine does not read."""
    wanted = FORMATS.get(engine)
    if adapters and wanted is None:
        serve = ", ".join(sorted(FORMATS))
        raise UnsupportedModel(f"{engine} serves no adapters; leave out --adapter, or use one of {serve}")
    for name, adapter in adapters.items():
        if adapter.artifact.format is not wanted:
            raise UnsupportedModel(
                f"the adapter {name!r} is {adapter.artifact.format}, and {engine} reads adapters as {wanted}"
            )


def check_draft(engine: EngineType, options: Options) -> None:
    """Raise `UnsupportedModel` for a draft model that the engine has no use for."""
    if options.draft is not None and engine is not DRAFT_ENGINE:
        raise UnsupportedModel(f"a draft model is for {DRAFT_ENGINE}, and {engine} serves this one; leave out --draft")


def plan_model(
    model: DetectedModel,
    name: str,
    options: Options,
    *,
    threads: int,
    memory_bytes: int,
    adapters: Mapping[str, DetectedAdapter] = MappingProxyType({}),
    draft: DetectedModel | None = None,
) -> ResolvedModel:
    """The engine and its settings; pure."""
    task = model.task if options.task is Task.AUTO else options.task
    artifact = model.artifact.model_copy(update={"task": task})
    engine = choose_engine(artifact, wanted=options.engine, gpu=False)
    check_formats(engine, adapters)
    check_draft(engine, options)
    settings = EngineSettings(
        model=replace(model, chat_template=options.chat_template or model.chat_template),
        name=name,
        task=task,
        threads=threads,
        memory_bytes=memory_bytes,
        context_length=options.context_length,
        parallel_sequences=options.parallel_sequences,
        args=options.engine_args,
        adapters={name: adapter.path for name, adapter in adapters.items()},
        draft=_draft_settings(options.draft, draft),
        trust=options.trust,
    )
    return ResolvedModel(engine, task, model.format, LoadOrder(_module_of(engine), settings))


def _detect_draft(argument: DraftArgument) -> DetectedModel:
    try:
        return detect_bounded(argument.path, task=Task.COMPLETION, formats=(Format.GGUF,), own_template=True)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"the draft model: {error}") from error


def _draft_settings(argument: DraftArgument | None, draft: DetectedModel | None) -> DraftSettings | None:
    if argument is None or draft is None:
        return None
    return DraftSettings(draft.weights[0], argument.tokens, argument.min_probability)


def _detect_adapter(name: str, path: Path) -> DetectedAdapter:
    try:
        return detect_adapter_bounded(path)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"the adapter {name!r}: {error}") from error


def _detect(path: Path, options: Options) -> DetectedModel:
    formats = formats_of(options.engine) if path.is_dir() else ()
    own_template = options.chat_template is not None
    pickles = options.trust.pickle
    return detect_bounded(path, task=options.task, formats=formats, own_template=own_template, pickles=pickles)


def _module_of(engine: EngineType) -> str:
    module = ENGINES.get(engine)
    if module is None:
        raise UnsupportedModel(
            f"this runtime has no engine {engine}; it has {_SERVED_HERE}. Name one of them, or serve the model by the "
            f"image of {engine}"
        )
    return module
