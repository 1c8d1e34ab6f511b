"""Starts llama.cpp inside this process and closes its built-in HTTP server off. Used by `engines.llamacpp`.

xllamacpp always opens that server. It is bound to a Unix socket in a private folder, behind a random key; what only it
can tell is asked once, then its name is removed, so nobody can connect any more.
"""

import http.client
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import xllamacpp

from berth_api.artifact import Task
from berth_runtime.engines.llamacpp_settings import VECTOR_TASKS, LlamaCppPlan
from berth_runtime.engines.protocol import DraftSettings, EngineSettings, LoadFailed
from berth_store.headers.gguf import GgufHeader

_ERRORS_ONLY: Final = 1
# What llama.cpp can't decode as a picture it would give to ffprobe, wherever that is found.
NO_FOLDER: Final = "/dev/null"
_ASK_SECONDS: Final = 30


@dataclass(frozen=True)
class ServerFacts:
    """What only the running server knows. `context_length` is of one sequence, never more than the model's own."""

    supports_tools: bool
    context_length: int
    pictures: bool


def start_server(
    settings: EngineSettings, header: GgufHeader, plan: LlamaCppPlan
) -> tuple[xllamacpp.Server, ServerFacts]:
    """Load the model; blocks. llama.cpp's own exception says nothing, its stderr does."""
    with private_address() as address:
        key = secrets.token_hex(32)
        parameters = build_parameters(settings, header, plan)
        parameters.hostnames = [str(address)]
        parameters.api_keys = [key]
        server = xllamacpp.Server(parameters)
        return server, ask_facts(address, key)


@contextmanager
def private_address() -> Iterator[Path]:
    """Where a socket may be bound that only this process reaches; its name is gone afterwards.

    The kernel takes 107 bytes for the name of a socket, and a folder for temporary files may have a longer one: the
    open folder is named by its number.
    """
    folder = tempfile.mkdtemp(prefix="berth-")
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{opened}/llamacpp.sock")
    finally:
        os.close(opened)
        shutil.rmtree(folder)


def build_parameters(settings: EngineSettings, header: GgufHeader, plan: LlamaCppPlan) -> xllamacpp.CommonParams:
    """The plan in llama.cpp's own words."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(settings.model.weights[0])
    parameters.model_alias = {settings.name}
    parameters.n_parallel = plan.sequences
    parameters.n_ctx = plan.context_length * plan.sequences  # the total; each sequence has its part to itself
    parameters.n_batch = plan.batch_tokens
    parameters.n_ubatch = plan.batch_tokens
    parameters.n_gpu_layers = plan.gpu_layers
    parameters.cpuparams.n_threads = plan.threads
    parameters.cpuparams_batch.n_threads = plan.threads
    parameters.cache_ram_mib = plan.prompt_cache_mib
    parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 0.0) for path in settings.adapters.values()]
    if settings.draft is not None:
        _set_draft(parameters, settings.draft, plan)
    parameters.fit_params = False  # it would load the model twice to fit what the plan has fitted
    parameters.warmup = False  # the proof of an answer warms it up
    parameters.verbosity = _ERRORS_ONLY
    parameters.endpoint_slots = False
    parameters.ui = False
    parameters.prefill_assistant = False  # OpenAI answers a last assistant message, it does not continue it
    projector = settings.model.projector
    if projector is not None and settings.task not in VECTOR_TASKS:
        parameters.mmproj.path = str(projector)
        parameters.mmproj_use_gpu = plan.gpu_layers != 0
    parameters.video_ffmpeg_bin_dir = NO_FOLDER
    template = settings.model.chat_template
    if template is not None and template != header.chat_template:
        parameters.chat_template = template
    if settings.task in VECTOR_TASKS:
        parameters.embedding = True
        ranks = settings.task is Task.RERANK
        rank = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
        parameters.pooling_type = rank if ranks else _pooling(header, plan)
    _set_choices(parameters, plan)
    return parameters


def ask_facts(address: Path, key: str) -> ServerFacts:
    """Ask the built-in server, before its door is removed."""
    connection = _UnixConnection(address)
    try:
        connection.request("GET", "/props", headers={"Authorization": f"Bearer {key}"})
        properties: dict[str, Any] = orjson.loads(connection.getresponse().read())
    finally:
        connection.close()
    template = properties.get("chat_template_caps", {})
    return ServerFacts(
        supports_tools=bool(template.get("supports_tools") and template.get("supports_tool_calls")),
        context_length=int(properties["default_generation_settings"]["n_ctx"]),
        pictures=bool(properties.get("modalities", {}).get("vision")),
    )


def _pooling(header: GgufHeader, plan: LlamaCppPlan) -> xllamacpp.llama_pooling_type:
    stated = plan.choices.get("pooling") or (header.pooling_type.name.lower() if header.pooling_type else None)
    names = {
        "mean": xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN,
        "cls": xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_CLS,
        "last": xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST,
    }
    if stated not in names:
        raise LoadFailed(
            "the file does not say how token vectors become one vector; say it by the engine argument "
            "pooling=mean, cls or last"
        )
    return names[stated]


def _set_draft(parameters: xllamacpp.CommonParams, settings: DraftSettings, plan: LlamaCppPlan) -> None:
    parameters.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    draft = parameters.speculative.draft
    draft.mparams.path = str(settings.weights)
    draft.n_max = settings.tokens
    draft.p_min = settings.min_probability
    draft.n_gpu_layers = plan.gpu_layers
    draft.cpuparams.n_threads = plan.threads
    draft.cpuparams_batch.n_threads = plan.threads


def _set_choices(parameters: xllamacpp.CommonParams, plan: LlamaCppPlan) -> None:
    for name, attribute in (("cache-type-k", "cache_type_k"), ("cache-type-v", "cache_type_v")):
        if name in plan.choices:
            kind = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + plan.choices[name].upper())
            setattr(parameters, attribute, kind)
    if "flash-attn" in plan.choices:
        words = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}
        word = words[plan.choices["flash-attn"]]
        parameters.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, "LLAMA_FLASH_ATTN_TYPE_" + word)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, address: Path) -> None:
        super().__init__("localhost", timeout=_ASK_SECONDS)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address))
