"""The command line of `python -m berth_runtime`, parsed into `Options`. `berth_api.launch` writes it for a Model."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from berth_api.artifact import EngineType, Task
from berth_api.launch import GROUP_PORT
from berth_api.quantity import parse_quantity
from berth_api.trust import NO_TRUST, Trust

MAX_NAME_LENGTH: Final = 50
_NAMED: Final = re.compile(r"([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)=(.+)")

_EPILOG: Final = """
PATH is a file (x.gguf, x.onnx, x.tflite) or a folder; what it is, is read from its headers. The name that a model is
served under defaults to that of the file or folder. Addresses: /v1/chat/completions /v1/completions /v1/embeddings
/v1/models /generate /health/live /health/ready /metrics /status.
"""


@dataclass(frozen=True)
class ModelArgument:
    """One `--model`: what it is served under, and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class DraftArgument:
    """`--draft` and what goes with it; see `engines.protocol.DraftSettings`."""

    path: Path
    tokens: int
    min_probability: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """The whole command line. None means that the engine chooses; an empty host, every address of this machine.

    `group_size` is how many pods compute as one, 1 for this one alone; `head` is where the head of the group is, None
    for the head itself; `group_port` is where it waits for the others.
    """

    models: tuple[ModelArgument, ...]
    host: str
    port: int
    engine: EngineType
    task: Task
    context_length: int | None
    parallel_sequences: int | None
    chat_template: str | None
    drain_timeout_seconds: float
    engine_args: Mapping[str, str]
    adapters: Mapping[str, Path]
    log_requests: bool
    holds: tuple[Path, ...] = ()
    draft: DraftArgument | None = None
    memory_bytes: int | None = None
    trust: Trust = NO_TRUST
    group_size: int = 1
    head: str | None = None
    group_port: int = GROUP_PORT


def parse_arguments(argv: Sequence[str]) -> Options:
    """The options; ends the process with status 2 and a sentence where they can't be."""
    parser = build_parser()
    given = parser.parse_args(argv)
    models = tuple(parse_model(text) for text in given.model)
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            parser.error(f"two models are to be served as {name!r}; give them names of their own: --model NAME=PATH")
    adapters = dict(given.adapter)
    if len(adapters) < len(given.adapter):
        parser.error("two adapters have the same name; give each its own: --adapter NAME=PATH")
    if adapters and len(models) > 1:
        parser.error("--adapter belongs to one model, and several are to be served; start a process for each")
    if given.draft and len(models) > 1:
        parser.error("--draft belongs to one model, and several are to be served; start a process for each")
    if given.memory is not None and given.engine is EngineType.VLLM:
        parser.error("--memory bounds no vLLM; say --engine-arg gpu-memory-utilization=SHARE")
    if given.head is not None and given.group_size is None:
        parser.error("--head names the head of a group; say of how many pods, all in all: --group-size N")
    if given.group_size is not None and given.engine is not EngineType.VLLM:
        parser.error(
            "--group-size is for VLLM, and other engines compute in one pod; say --engine VLLM, or leave it out"
        )
    return Options(
        models=models,
        host=given.host,
        port=given.port,
        engine=given.engine,
        task=given.task,
        context_length=given.context_length,
        parallel_sequences=given.parallel_sequences,
        chat_template=given.chat_template,
        drain_timeout_seconds=given.drain_timeout,
        engine_args=dict(given.engine_arg),
        adapters=adapters,
        log_requests=given.log_requests,
        holds=tuple(given.hold),
        draft=DraftArgument(given.draft, given.draft_tokens, given.draft_min_probability) if given.draft else None,
        memory_bytes=given.memory,
        trust=Trust(pickle=given.trust_pickle, remote_code=given.trust_remote_code),
        group_size=given.group_size or 1,
        head=given.head,
        group_port=given.group_port,
    )


def build_parser() -> argparse.ArgumentParser:
    """The options and their words."""
    parser = argparse.ArgumentParser(
        prog="python -m berth_runtime", description="Serve models over OpenAI's API.", epilog=_EPILOG
    )
    add = parser.add_argument
    add("--model", action="append", required=True, metavar="[NAME=]PATH", help="a model to serve; may be repeated")
    add("--host", default="", help="the address to listen on (default: all, over IPv4 and IPv6)")
    add("--port", type=_port, default=8000, help="the port to listen on (default: 8000; 0: any free one)")
    add("--engine", type=EngineType, default=EngineType.AUTO, metavar="ENGINE", help=_choices(EngineType))
    add("--task", type=Task, default=Task.AUTO, metavar="TASK", help=_choices(Task))
    add("--context-length", type=_positive, metavar="TOKENS", help="the longest sequence of one request")
    add("--parallel-sequences", type=_positive, metavar="N", help="sequences worked on at once")
    add("--chat-template", type=_file_text, metavar="FILE", help="Jinja that replaces the model's own chat template")
    add(
        "--drain-timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="time for running requests after SIGTERM",
    )
    add("--engine-arg", type=_pair, action="append", default=[], metavar="K=V", help="an argument of the engine's own")
    add(
        "--adapter",
        type=_adapter,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a LoRA, as GGUF for LlamaCpp and as PEFT's folder for VLLM, served as MODEL:NAME; may be repeated",
    )
    add(
        "--memory",
        type=_size,
        metavar="SIZE",
        help="what all models may fill, such as 8Gi (default: what this process may use)",
    )
    add("--draft", type=Path, metavar="PATH", help="a small GGUF that guesses tokens ahead, for LlamaCpp")
    add("--draft-tokens", type=_positive, default=3, metavar="N", help="tokens it guesses at a time (default: 3)")
    add(
        "--draft-min-probability",
        type=_probability,
        default=0.0,
        metavar="P",
        help="stop guessing below this probability, 0 to 1 (default: 0)",
    )
    add("--log-requests", action="store_true", help="log one line for each request")
    add("--trust-pickle", action="store_true", help="weights may be Python pickles; they are read for tensors alone")
    add("--trust-remote-code", action="store_true", help="Python files beside the weights may be run")
    add("--group-size", type=_several, metavar="N", help="pods that compute as one, this one among them; with VLLM")
    add(
        "--head",
        metavar="HOST",
        help="the head of the group, which this process is a member of (default: it is the head)",
    )
    add("--group-port", type=_port, default=GROUP_PORT, help=f"the head's port for members (default: {GROUP_PORT})")
    add(
        "--hold",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="lock this file, so that what it stands for is not freed from a shared store; may be repeated",
    )
    return parser


def parse_model(text: str) -> ModelArgument:
    """`NAME=PATH`, or `PATH` with a name made from it."""
    named = _NAMED.fullmatch(text)
    if named is not None and len(named[1]) <= MAX_NAME_LENGTH:
        return ModelArgument(named[1], Path(named[2]))
    path = Path(text)
    return ModelArgument(name_of(path), path)


def name_of(path: Path) -> str:
    """A served name for a file or folder: its own, in the letters of a DNS name."""
    full = Path(path).absolute()
    stem = full.stem if full.suffix.lower() in {".gguf", ".onnx", ".tflite"} else full.name
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:MAX_NAME_LENGTH].strip("-")
    return name or "model"


def _choices(words: type[EngineType] | type[Task]) -> str:
    return "one of " + ", ".join(words)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; ports are 0 to 65535")
    return port


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _several(text: str) -> int:
    number = int(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"{text} is less than 2")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds


def _size(text: str) -> int:
    try:
        size = parse_quantity(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if size < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than a byte")
    return int(size)


def _probability(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no probability; it is 0 to 1")
    return number


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _adapter(text: str) -> tuple[str, Path]:
    named = _NAMED.fullmatch(text)
    if named is None or len(named[1]) > MAX_NAME_LENGTH:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=PATH with a name of at most {MAX_NAME_LENGTH} small letters, digits, dots and dashes"
        )
    return named[1], Path(named[2])


def _file_text(text: str) -> str:
    try:
        return Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{text} can't be read: {error}") from error
