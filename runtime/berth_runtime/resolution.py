"""From a `--model` of the command line to what its worker is told: detection by headers, choice of the engine.

Detection runs in a bounded process of its own, so that a hostile file can't hurt this one.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from berth_api.artifact import EngineType, Task
from berth_api.engines import choose_engine, formats_of
from berth_api.errors import UnsupportedModel
from berth_runtime.arguments import ModelArgument, Options
from berth_runtime.engines import ENGINES
from berth_runtime.engines.protocol import EngineSettings
from berth_runtime.machine import usable_cores, usable_memory_bytes
from berth_runtime.memory_shares import MemoryShares
from berth_runtime.messages import LoadOrder
from berth_runtime.served import ResolvedModel
from berth_store.detect import DetectedModel, detect_bounded

_SERVED_HERE: Final = ", ".join(ENGINES)


def shares_of(options: Options) -> MemoryShares:
    """The memory that the models of a command line share."""
    return MemoryShares(options.memory_bytes or usable_memory_bytes(), len(options.models))


async def resolve_model(argument: ModelArgument, options: Options, shares: MemoryShares | None = None) -> ResolvedModel:
    """What the path is and which engine gets it; raises `UnsupportedModel` or `InvalidSpec` with the reason.

    Of a folder with several formats the one that the wanted engine loads is meant. Without `shares` the model is alone.
    """
    model = await asyncio.to_thread(_detect, argument.path, options)
    memory_bytes = (shares or shares_of(options)).take(argument.name, model.artifact.size_bytes or 0)
    return plan_model(model, argument.name, options, threads=usable_cores(), memory_bytes=memory_bytes)


def plan_model(model: DetectedModel, name: str, options: Options, *, threads: int, memory_bytes: int) -> ResolvedModel:
    """The engine and its settings; pure."""
    task = model.task if options.task is Task.AUTO else options.task
    artifact = model.artifact.model_copy(update={"task": task})
    engine = choose_engine(artifact, wanted=options.engine, gpu=False)
    if options.adapters and engine is not EngineType.LLAMA_CPP:
        raise UnsupportedModel(f"{engine} serves no adapters; leave out --adapter, or serve a GGUF with LlamaCpp")
    settings = EngineSettings(
        model=replace(model, chat_template=options.chat_template or model.chat_template),
        name=name,
        task=task,
        threads=threads,
        memory_bytes=memory_bytes,
        context_length=options.context_length,
        parallel_sequences=options.parallel_sequences,
        args=options.engine_args,
        adapters=options.adapters,
    )
    return ResolvedModel(engine, task, model.format, LoadOrder(_module_of(engine), settings))


def _detect(path: Path, options: Options) -> DetectedModel:
    formats = formats_of(options.engine) if path.is_dir() else ()
    own_template = options.chat_template is not None
    return detect_bounded(path, task=options.task, formats=formats, own_template=own_template)


def _module_of(engine: EngineType) -> str:
    module = ENGINES.get(engine)
    if module is None:
        raise UnsupportedModel(
            f"this runtime has no engine {engine}; it has {_SERVED_HERE}. Name one of them, or serve the model by the "
            f"image of {engine}"
        )
    return module
