"""Which engine serves what. A new engine is one line in `SERVED`; the runtime implements it under the same word."""

from collections.abc import Mapping
from dataclasses import dataclass

from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.conditions import Reason
from berth_api.errors import FieldError, InvalidSpec, UnsupportedModel

_TEXT = frozenset({Task.CHAT, Task.COMPLETION})


@dataclass(frozen=True)
class Served:
    """What one engine can serve: formats and tasks, and whether this version has the engine at all.

    `most_devices` is how many GPUs one process of it can use together; 0 where this version runs it on the CPU alone.
    """

    formats: frozenset[Format]
    tasks: frozenset[Task]
    available: bool
    most_devices: int = 0


SERVED: Mapping[EngineType, Served] = {
    EngineType.LLAMA_CPP: Served(frozenset({Format.GGUF}), _TEXT | {Task.EMBEDDING}, available=True, most_devices=64),
    EngineType.ONNX_RUNTIME: Served(
        frozenset({Format.ONNX}), frozenset({Task.EMBEDDING}), available=True, most_devices=1
    ),
    EngineType.VLLM: Served(frozenset({Format.SAFETENSORS}), _TEXT | {Task.EMBEDDING, Task.RERANK}, available=False),
    EngineType.TORCH: Served(frozenset({Format.SAFETENSORS, Format.PYTORCH}), frozenset(Task), available=False),
    EngineType.LITERT: Served(
        frozenset({Format.TFLITE}), frozenset({Task.IMAGE_CLASSIFICATION, Task.OBJECT_DETECTION}), available=True
    ),
}


def available_engines() -> tuple[EngineType, ...]:
    """The engines that this version has."""
    return tuple(engine for engine, served in SERVED.items() if served.available)


def available_tasks() -> tuple[Task, ...]:
    """The tasks that some engine of this version serves."""
    return tuple(task for task in Task if any(task in served.tasks for served in SERVED.values() if served.available))


def only_format(engine: EngineType) -> Format | None:
    """The one format that the engine loads, to look for in an artifact; None where it may be any of several."""
    formats = SERVED[engine].formats if engine in SERVED else frozenset()
    return next(iter(formats)) if len(formats) == 1 else None


def choose_engine(artifact: Artifact, *, wanted: EngineType = EngineType.AUTO, gpu: bool = False) -> EngineType:
    """The engine for an artifact: the wanted one if it can, else the first that can.

    Raises InvalidSpec if the wanted engine can't serve this artifact, or can't use a GPU though one is asked for, and
    UnsupportedModel if no engine can serve it at all.
    """
    engine = _checked(wanted, artifact) if wanted is not EngineType.AUTO else _first_that_serves(artifact)
    if gpu:
        check_devices(engine, 1)
    return engine


def check_devices(engine: EngineType, count: int) -> None:
    """Raise InvalidSpec if one process of the engine can't use so many GPUs."""
    most = SERVED[engine].most_devices
    if most == 0:
        message, remedy = f"{engine} uses no GPU in this version", "leave it out to serve on the CPU"
        raise InvalidSpec(FieldError("spec.accelerator", message, remedy, Reason.UNSUPPORTED_FIELD))
    if count > most:
        message = f"{engine} uses at most {most} GPU in a pod, and {count} are asked for"
        raise InvalidSpec(FieldError("spec.accelerator.count", message, f"give at most {most}, or more replicas"))


def _first_that_serves(artifact: Artifact) -> EngineType:
    for engine in available_engines():
        if _serves(engine, artifact):
            return engine
    raise UnsupportedModel(_why_none(artifact))


def _serves(engine: EngineType, artifact: Artifact) -> bool:
    served = SERVED[engine]
    return artifact.format in served.formats and (artifact.task is Task.AUTO or artifact.task in served.tasks)


def _checked(wanted: EngineType, artifact: Artifact) -> EngineType:
    served = SERVED[wanted]
    if not served.available:
        raise _refused(
            f"this version has no engine {wanted}", f"leave it out, or use one of {_words(available_engines())}"
        )
    if artifact.format not in served.formats:
        raise _refused(
            f"{wanted} loads {_words(served.formats)}, and this artifact is {artifact.format}",
            "leave it out, so that it is chosen",
        )
    if not _serves(wanted, artifact):
        raise _refused(
            f"{wanted} serves {_words(served.tasks)}, and this model's task is {artifact.task}",
            "choose another model or task",
        )
    return wanted


def _refused(message: str, remedy: str) -> InvalidSpec:
    return InvalidSpec(FieldError("spec.engine.type", message, remedy))


def _why_none(artifact: Artifact) -> str:
    tasks = sorted(
        {
            task
            for served in SERVED.values()
            if served.available and artifact.format in served.formats
            for task in served.tasks
        }
    )
    if tasks:
        return (
            f"no engine of this version serves {artifact.task} from {artifact.format}; "
            f"from {artifact.format} it serves {_words(tasks)}: if the model can do one of these, set spec.task"
        )
    formats = sorted({form for served in SERVED.values() if served.available for form in served.formats})
    return (
        f"no engine of this version loads {artifact.format} weights; it loads {_words(formats)}: "
        f"use the model in one of these formats (many are published as GGUF, and encoders can be exported to ONNX)"
    )


def _words(values: object) -> str:
    assert isinstance(values, tuple | list | set | frozenset)
    return ", ".join(sorted(str(value) for value in values))
