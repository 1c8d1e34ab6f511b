"""What is started for a Model: argv, environment, port and probe paths. The same on a laptop and in a pod."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from berth_api.arguments import engine_arguments, split_argument
from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.conditions import Reason
from berth_api.engines import check_devices, choose_engine
from berth_api.errors import FieldError, InvalidSpec
from berth_api.memory import vllm_cache_bytes
from berth_api.model import Model
from berth_api.source import Draft
from berth_api.trust import Trust

RUNTIME_MODULE = "berth_runtime"
LIVE_PATH = "/health/live"
READY_PATH = "/health/ready"
CACHE_ARGUMENT = "kv-cache-memory-bytes"
GROUP_PORT = 8002
"""Where the head of a group of pods, which compute as one replica, waits for its members."""
GROUP_REVISION_VARIABLE = "BERTH_GROUP_REVISION"
"""What tells the pods of one revision of a group from those of another."""


@dataclass(frozen=True)
class Launch:
    """A process to start: `argv[0]` is `python`, for which a laptop puts its own interpreter."""

    argv: tuple[str, ...]
    port: int
    drain_timeout_seconds: int
    engine: EngineType
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    live_path: str = LIVE_PATH
    ready_path: str = READY_PATH


def build_launch(
    model: Model,
    artifact: Artifact,
    *,
    model_path: str,
    port: int,
    host: str | None = None,
    chat_template_path: str | None = None,
    adapter_paths: Mapping[str, str] = MappingProxyType({}),
    draft_path: str | None = None,
    hold_paths: Sequence[str] = (),
) -> Launch:
    """The runtime process that serves `model` from `model_path`, with its adapters by their names and its draft model.

    `hold_paths` are the files by which it keeps them from being freed. Without `host` it listens on every address: so
    in a pod, whose network policy decides who comes in.
    Raises InvalidSpec or UnsupportedModel if no engine can serve it as asked.
    """
    spec = model.spec
    if artifact.format is Format.PYTORCH and not spec.trust.pickle:
        message, remedy = (
            "its weights are Python pickles, and these are not trusted",
            "set it to true, or use another form",
        )
        raise InvalidSpec(FieldError("spec.trust.pickle", message, remedy, Reason.PICKLE_REFUSED))
    wanted_task = artifact.task if spec.task is Task.AUTO else spec.task
    devices, nodes = spec.accelerator.count if spec.accelerator is not None else 0, spec.group_size
    engine = choose_engine(artifact.model_copy(update={"task": wanted_task}), wanted=spec.engine.type, gpu=devices > 0)
    if devices:
        check_devices(engine, devices, wanted_task, nodes=nodes)
    options: dict[str, object] = {
        "--model": f"{model.metadata.name}={model_path}",
        "--host": host,
        "--port": port,
        "--engine": engine,
        "--task": wanted_task,
        "--context-length": spec.context_length,
        "--parallel-sequences": spec.parallel_sequences,
        "--chat-template": chat_template_path,
        "--drain-timeout": spec.rollout.drain_timeout.seconds,
        "--group-size": nodes if nodes > 1 else None,
    }
    asked = engine_arguments(engine, spec.engine.args)
    arguments = _on_devices(engine, devices, nodes) | _on_host(engine, devices, model, artifact) | asked
    argv = (
        *("python", "-m", RUNTIME_MODULE),
        *_given(options),
        *trust_options(spec.trust),
        *_repeated("--adapter", _pairs(adapter_paths)),
        *_given(_draft_options(spec.draft, draft_path)),
        *_repeated("--hold", hold_paths),
        *_repeated("--engine-arg", _pairs(arguments)),
    )
    env = {variable.name: variable.value or "" for variable in spec.pod.env if variable.value_from is None}
    return Launch(argv, port, spec.rollout.drain_timeout.seconds, engine, MappingProxyType(env))


def _draft_options(draft: Draft | None, path: str | None) -> dict[str, object]:
    if draft is None:
        return {}
    percent = draft.min_probability_percent
    return {"--draft": path, "--draft-tokens": draft.tokens, "--draft-min-probability": percent / 100}


def member_argv(argv: Sequence[str], head: str) -> tuple[str, ...]:
    """What a member of a group runs where its head, at the address `head`, runs `argv`."""
    return (*argv, "--head", head)


def _on_devices(engine: EngineType, count: int, nodes: int) -> dict[str, str]:
    """What an engine must be told to use `count` GPUs in each of `nodes` pods.

    Layers go to pods and the matrices of a layer to the GPUs of one: what a token sends between nodes is small then.
    """
    match engine:
        case EngineType.LLAMA_CPP if count:
            return {"n-gpu-layers": "-1"}  # it keeps layers in the host's memory otherwise
        case EngineType.ONNX_RUNTIME if count:
            return {"provider": "gpu"}  # and computes on the CPU
        case EngineType.TORCH if count:
            return {"device": "cuda"}  # and would do with the CPU where the GPU can't be used
        case EngineType.VLLM if count:
            stages = {"pipeline-parallel-size": str(nodes)} if nodes > 1 else {}
            return {"tensor-parallel-size": str(count), **stages}
        case _:
            return {}


def _on_host(engine: EngineType, devices: int, model: Model, artifact: Artifact) -> dict[str, str]:
    """What an engine made for GPUs must be told on the CPU."""
    if devices or engine is not EngineType.VLLM:
        return {}
    return {CACHE_ARGUMENT: str(asked_cache_bytes(model, artifact))}


def asked_cache_bytes(model: Model, artifact: Artifact) -> int:
    """The KV cache of a Model that vLLM serves on the CPU: what its arguments say, else what the artifact comes to."""
    asked = dict(split_argument(argument) for argument in model.spec.engine.args)
    if CACHE_ARGUMENT in asked:
        return int(asked[CACHE_ARGUMENT])
    return vllm_cache_bytes(artifact, context_length=model.spec.context_length, dtype=asked.get("dtype", "auto"))


def trust_options(trust: Trust) -> tuple[str, ...]:
    """What every program that looks at an artifact is told of it: resolver, loader and runtime have the same words."""
    said = {"--trust-pickle": trust.pickle, "--trust-remote-code": trust.remote_code}
    return tuple(option for option, is_so in said.items() if is_so)


def _given(options: Mapping[str, object]) -> Iterator[str]:
    for option, value in options.items():
        if value is not None:
            yield from (option, str(value))


def _repeated(option: str, values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (option, value)


def _pairs(values: Mapping[str, str]) -> Iterator[str]:
    return (f"{name}={value}" for name, value in values.items())
