"""Which engine serves what. A new engine is one line in `SERVED`; the runtime implements it under the same word."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.conditions import Reason
from berth_api.errors import FieldError, InvalidSpec, UnsupportedModel

_TEXT = frozenset({Task.CHAT, Task.COMPLETION})
# What `berth_store.convert` makes graphs of.
_ENCODERS = frozenset({"bert", "camembert", "distilbert", "roberta", "xlm-roberta"})
_TEXTS = frozenset({Task.EMBEDDING, Task.RERANK, Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION})
_PICTURES = frozenset({Task.IMAGE_CLASSIFICATION, Task.OBJECT_DETECTION, Task.TEXT_RECOGNITION})
# Of transformers' architectures those that `tests/integration/torch` compares with transformers itself.
_TRANSFORMERS = frozenset(
    {
        *_ENCODERS,
        *("albert", "deberta", "deberta-v2", "electra", "modernbert", "mpnet", "nomic_bert", "xlm-roberta-xl"),
        *("beit", "convnext", "convnextv2", "deit", "dinov2", "efficientnet", "mobilenet_v2", "regnet", "resnet"),
        *("segformer", "swin", "vit"),
        *("conditional_detr", "detr", "rt_detr", "yolos"),
    }
)
_OTHER_FORMATS = (
    "use the model in a format for the CPU (many are published as GGUF, which LlamaCpp serves, and encoders can be "
    "exported to ONNX)"
)


@dataclass(frozen=True)
class Served:
    """What one engine can serve: formats and tasks.

    `only` are the tasks of a format from which it does not do all of them. `architectures` are those that it knows of a
    format, where it does not know all: the artifact's own names for them; one that `tries_others` takes any other where
    it is asked for by name. `most_devices` is how many GPUs one process of it can use together; 0 where this version
    runs it on the CPU alone, as it does the tasks `on_host` in any case. One that is made for GPUs (`wants_devices`) is
    taken without any only where it is asked for by name. One that `spans_nodes` can compute as a group of pods.
    """

    formats: frozenset[Format]
    tasks: frozenset[Task]
    most_devices: int = 0
    only: Mapping[Format, frozenset[Task]] = field(default_factory=dict)
    architectures: Mapping[Format, frozenset[str]] = field(default_factory=dict)
    tries_others: bool = False
    on_host: frozenset[Task] = frozenset()
    wants_devices: bool = False
    spans_nodes: bool = False

    def tasks_from(self, weights: Format) -> frozenset[Task]:
        """What it can do with weights of a format; nothing, if it does not load them."""
        return self.only.get(weights, self.tasks) if weights in self.formats else frozenset()


SERVED: Mapping[EngineType, Served] = {
    EngineType.LLAMA_CPP: Served(frozenset({Format.GGUF}), _TEXT | {Task.EMBEDDING, Task.RERANK}, most_devices=64),
    EngineType.ONNX_RUNTIME: Served(
        frozenset({Format.ONNX, Format.SAFETENSORS}),
        _TEXT | _TEXTS | _PICTURES,
        most_devices=1,
        only={Format.SAFETENSORS: _TEXTS},
        architectures={Format.SAFETENSORS: _ENCODERS},
        on_host=_TEXT,
    ),
    # Behind ONNX Runtime, for its image is ten times as large; before vLLM, which knows few of these architectures.
    EngineType.TORCH: Served(
        frozenset({Format.SAFETENSORS, Format.PYTORCH}),
        _TEXTS | {Task.IMAGE_CLASSIFICATION, Task.OBJECT_DETECTION},
        most_devices=1,
        architectures={Format.SAFETENSORS: _TRANSFORMERS, Format.PYTORCH: _TRANSFORMERS},
        tries_others=True,
    ),
    EngineType.VLLM: Served(
        frozenset({Format.SAFETENSORS}),
        _TEXT | {Task.EMBEDDING, Task.RERANK},
        most_devices=64,
        wants_devices=True,
        spans_nodes=True,
    ),
    EngineType.LITERT: Served(
        frozenset({Format.TFLITE}), frozenset({Task.EMBEDDING, Task.IMAGE_CLASSIFICATION, Task.OBJECT_DETECTION})
    ),
}


_REMEDY_ARCHITECTURE = "bring the model as ONNX, exported with its tokenizer, or take a model of one of these"
_REMEDY_TRY = "set spec.engine.type to Torch to try it by transformers all the same, or bring the model as ONNX"


def formats_of(engine: EngineType) -> frozenset[Format]:
    """The formats that the engine loads, to look for in an artifact; none for `Auto`, which may be any."""
    return SERVED[engine].formats if engine in SERVED else frozenset()


def choose_engine(artifact: Artifact, *, wanted: EngineType = EngineType.AUTO, gpu: bool = False) -> EngineType:
    """The engine for an artifact: the wanted one if it can, else the first that can.

    Raises InvalidSpec if the wanted engine can't serve this artifact, or can't use a GPU though one is asked for, or if
    only one can that wants a GPU and has none; and UnsupportedModel if no engine can serve it at all.
    """
    engine = _checked(wanted, artifact) if wanted is not EngineType.AUTO else _first_that_serves(artifact, gpu=gpu)
    if gpu:
        check_devices(engine, 1, artifact.task)
    return engine


def check_devices(engine: EngineType, count: int, task: Task = Task.AUTO, *, nodes: int = 1) -> None:
    """Raise InvalidSpec if the engine can't use so many GPUs in each of so many pods for the task."""
    most = SERVED[engine].most_devices
    if task in SERVED[engine].on_host:
        message = f"{engine} does {task} on the CPU alone in this version"
        remedy = f"leave it out, or bring the model as {_words(_formats_on_devices(task))}"
        raise InvalidSpec(FieldError("spec.accelerator", message, remedy, Reason.UNSUPPORTED_FIELD))
    if most == 0:
        message, remedy = f"{engine} uses no GPU in this version", "leave it out to serve on the CPU"
        raise InvalidSpec(FieldError("spec.accelerator", message, remedy, Reason.UNSUPPORTED_FIELD))
    if count > most:
        message = f"{engine} uses at most {most} GPU in a pod, and {count} are asked for"
        raise InvalidSpec(FieldError("spec.accelerator.count", message, f"give at most {most}, or more replicas"))
    if nodes > 1 and not SERVED[engine].spans_nodes:
        message = f"{engine} computes in one pod, and {nodes} are to compute together"
        remedy = "leave it out, or bring the model as safetensors, which VLLM serves"
        raise InvalidSpec(FieldError("spec.accelerator.nodes", message, remedy))


def _formats_on_devices(task: Task) -> frozenset[Format]:
    """The formats from which a task is done on GPUs."""
    return frozenset(
        form
        for served in SERVED.values()
        if served.most_devices and task not in served.on_host
        for form in served.formats - {Format.PYTORCH}
        if task in served.tasks_from(form)
    )


def _first_that_serves(artifact: Artifact, *, gpu: bool) -> EngineType:
    able = [engine for engine in SERVED if _serves(engine, artifact)]
    if not able:
        raise UnsupportedModel(_why_none(artifact))
    here = [engine for engine in able if gpu or not SERVED[engine].wants_devices]
    if not here:
        message = f"{able[0]}, which serves {artifact.task} from {artifact.format} weights, wants a GPU"
        raise InvalidSpec(FieldError("spec.accelerator", message, f"ask for one, or {_OTHER_FORMATS}"))
    return here[0]


def _serves(engine: EngineType, artifact: Artifact) -> bool:
    served = SERVED[engine]
    return artifact.format in served.formats and _does(served, artifact) and _knows(served, artifact)


def _does(served: Served, artifact: Artifact) -> bool:
    return artifact.task is Task.AUTO or artifact.task in served.tasks_from(artifact.format)


def _knows(served: Served, artifact: Artifact) -> bool:
    """Whether the architecture is one that the engine knows; one that nobody stated, the engine will look at."""
    known = served.architectures.get(artifact.format)
    return known is None or artifact.architecture is None or artifact.architecture in known


def _checked(wanted: EngineType, artifact: Artifact) -> EngineType:
    served = SERVED[wanted]
    if artifact.format not in served.formats:
        raise _refused(
            f"{wanted} loads {_words(served.formats)}, and this artifact is {artifact.format}",
            "leave it out, so that it is chosen",
        )
    if not served.tries_others and not _knows(served, artifact):
        known = served.architectures[artifact.format]
        raise _refused(_unknown_architecture(wanted, known, artifact), _REMEDY_ARCHITECTURE)
    if not _does(served, artifact):
        tasks = _words(served.tasks_from(artifact.format))
        raise _refused(
            f"{wanted} serves {tasks} from {artifact.format}, and this model's task is {artifact.task}",
            "choose another model or task",
        )
    return wanted


def _refused(message: str, remedy: str) -> InvalidSpec:
    return InvalidSpec(FieldError("spec.engine.type", message, remedy))


def _why_none(artifact: Artifact) -> str:
    tasks = sorted({task for served in SERVED.values() for task in served.tasks_from(artifact.format)})
    if artifact.task in tasks:
        doing = [served for served in SERVED.values() if artifact.task in served.tasks_from(artifact.format)]
        known = frozenset[str]().union(*(served.architectures[artifact.format] for served in doing))
        return f"{_unknown_architecture('this version', known, artifact)}; {_REMEDY_TRY}"
    if tasks:
        others = {
            form
            for served in SERVED.values()
            for form in served.formats - {artifact.format, Format.PYTORCH}
            if artifact.task in served.tasks_from(form)
        }
        bring = f"bring the model as {' or '.join(sorted(others))}, or " if others else ""
        return (
            f"no engine of this version serves {artifact.task} from {artifact.format}; {bring}"
            f"set spec.task to one of {_words(tasks)}, if the model can do that"
        )
    formats = sorted({form for served in SERVED.values() for form in served.formats} - {Format.PYTORCH})
    return f"no engine of this version loads {artifact.format} weights; it loads {_words(formats)}: {_OTHER_FORMATS}"


def _unknown_architecture(who: str, known: frozenset[str], artifact: Artifact) -> str:
    return (
        f"{who} loads {artifact.format} of the architectures {_words(known)}, and this artifact's is "
        f"{artifact.architecture}"
    )


def _words(values: object) -> str:
    assert isinstance(values, tuple | list | set | frozenset)
    return ", ".join(sorted(str(value) for value in values))
