"""Models on PyTorch behind the real command: real weights, their pickled twin, pictures, and what means harm."""

import asyncio
import base64
import io
import json
import shutil
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import openai
import pytest
import pytest_asyncio
import tools
import torch_python
from hostile.pickles import programs
from openai import AsyncOpenAI
from runtime_server import RuntimeProcess, start_runtime
from safetensors.numpy import save_file
from tiny_encoders import HIDDEN, VOCABULARY, write_sentence_modules, write_tiny_tokenizer
from torch_python import Compared

pytestmark = [
    pytest.mark.torch,
    pytest.mark.needs("torch", "minilm"),
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

START_SECONDS = 400.0
CASES: list[dict[str, Any]] = [
    case
    for case in json.loads((tools.REPOSITORY / "tests/reference/minilm.json").read_text())["cases"]
    if case["text"] and case["tokens"] <= 256
]
TEXTS = [case["text"] for case in CASES]
WANTED = np.stack([np.frombuffer(base64.b64decode(case["vector"]), "<f4") for case in CASES])
TABLE = np.random.default_rng(5).normal(size=(VOCABULARY, HIDDEN)).astype(np.float32)
OWN = """
from pathlib import Path
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

Path({canary!r}).touch()

class OwnConfig(PretrainedConfig):
    model_type = "own"

class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.table = torch.nn.Embedding({rows}, {columns})
        self.post_init()
    def forward(self, input_ids, attention_mask):
        return BaseModelOutput(last_hidden_state=self.table(input_ids))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def minilm() -> Path:
    weights = tools.find("minilm")
    assert weights is not None
    return weights.parent


@pytest.fixture(scope="module")
def twin(root: Path, minilm: Path) -> Path:
    """The same model with its weights as PyTorch pickles them."""
    folder = root / "twin"
    shutil.copytree(minilm, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


@pytest.fixture(scope="module")
def canary(root: Path) -> Path:
    return root / "canary"


@pytest.fixture(scope="module")
def evil(root: Path, twin: Path, canary: Path) -> Path:
    """A pickle that would make the canary, as `torch.save` would write it."""
    folder = root / "evil"
    shutil.copytree(twin, folder)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", programs(canary)["a pickle"])
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
    (folder / "pytorch_model.bin").write_bytes(content.getvalue())
    return folder


@pytest.fixture(scope="module")
def own(root: Path, canary: Path) -> Path:
    """A model whose class lies beside its weights, and makes the canary."""
    folder = root / "own"
    write_tiny_tokenizer(folder)
    write_sentence_modules(folder, normalize=False)
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    settings = {"model_type": "own", "architectures": ["OwnModel"], "vocab_size": VOCABULARY, "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(OWN.format(canary=str(canary), rows=VOCABULARY, columns=HIDDEN))
    save_file({"table.weight": TABLE}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


async def pickle_weights(minilm: Path, twin: Path, home: Path) -> None:
    code = "import sys, torch; from safetensors.torch import load_file;torch.save(load_file(sys.argv[1]), sys.argv[2])"
    words = (str(minilm / "model.safetensors"), str(twin / "pytorch_model.bin"))
    made = await asyncio.create_subprocess_exec(
        torch_python.python(), "-c", code, *words, env=torch_python.environment(home)
    )
    assert await made.wait() == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(
    compared: Compared, root: Path, minilm: Path, twin: Path, evil: Path, own: Path
) -> AsyncIterator[RuntimeProcess]:
    """One process with all of them, which trusts pickles and no code."""
    await pickle_weights(minilm, twin, root)
    models = {
        "minilm": minilm,
        "twin": twin,
        "vit": compared.folder / "vit-ImageClassification",
        "detr": compared.folder / "detr-ObjectDetection",
        "evil": evil,
        "own": own,
    }
    words = [word for name, path in models.items() for word in ("--model", f"{name}={path}")]
    words += ["--engine", "Torch", "--trust-pickle"]
    async with start_runtime(
        *words, python=torch_python.python(), environment=torch_python.environment(root)
    ) as started:
        states = {name: "Failed" if name in {"evil", "own"} else "Ready" for name in models}
        await started.wait_for_states(states, seconds=START_SECONDS)
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(runtime: RuntimeProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{runtime.base_url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def embed(client: AsyncOpenAI, model: str) -> Any:
    answer = await client.embeddings.create(model=model, input=TEXTS)
    return np.array([row.embedding for row in answer.data])


async def test_vectors_are_those_of_the_reference_and_of_onnx_runtime(client: AsyncOpenAI, minilm: Path) -> None:
    found = await embed(client, "minilm")
    assert np.abs(found - WANTED).max() < 1e-4
    async with start_runtime("--model", f"minilm={minilm}", "--engine", "OnnxRuntime") as other:
        await other.wait_for_states({"minilm": "Ready"})
        async with AsyncOpenAI(base_url=f"{other.base_url}/v1", api_key="none", max_retries=0) as onnx:
            assert np.abs(found - await embed(onnx, "minilm")).max() < 1e-4


async def test_a_pickle_that_is_trusted_is_the_same_model(client: AsyncOpenAI) -> None:
    assert np.abs(await embed(client, "twin") - WANTED).max() < 1e-4


async def test_many_clients_at_once_get_their_own_vectors(client: AsyncOpenAI) -> None:
    answers = await asyncio.gather(
        *(client.embeddings.create(model="minilm", input=text) for text in TEXTS for _ in range(4))
    )
    found = np.array([answer.data[0].embedding for answer in answers])
    assert np.abs(found - np.repeat(WANTED, 4, axis=0)).max() < 1e-4


async def test_a_pickle_that_holds_more_than_weights_is_refused_and_not_run(
    runtime: RuntimeProcess, canary: Path
) -> None:
    status = (await runtime.status())["evil"]
    assert "the pickle holds more than weights" in status["message"]
    assert "it was not" in status["message"]
    assert not canary.exists()


async def test_code_beside_the_weights_is_not_run_unless_it_is_trusted(
    runtime: RuntimeProcess, own: Path, root: Path, canary: Path
) -> None:
    assert "set `spec.trust.remoteCode`" in (await runtime.status())["own"]["message"]
    assert not canary.exists()
    words = ("--model", f"own={own}", "--engine", "Torch", "--trust-remote-code")
    async with start_runtime(*words, python=torch_python.python(), environment=torch_python.environment(root)) as other:
        await other.wait_for_states({"own": "Ready"}, seconds=START_SECONDS)
        async with AsyncOpenAI(base_url=f"{other.base_url}/v1", api_key="none", max_retries=0) as client:
            answer = await client.embeddings.create(model="own", input=[[4, 7, 9]])
    assert np.abs(np.array(answer.data[0].embedding) - TABLE[[4, 7, 9]].mean(axis=0)).max() < 1e-5
    assert canary.exists()
    canary.unlink()


async def ask(runtime: RuntimeProcess, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(f"{runtime.base_url}{path}", json=body) as answer:
        return answer.status, await answer.json()


def pngs(folder: Path) -> list[str]:
    return [base64.b64encode(path.read_bytes()).decode() for path in sorted(folder.glob("picture-*.png"))]


async def test_the_classes_of_pictures_are_those_of_transformers(runtime: RuntimeProcess, compared: Compared) -> None:
    folder = compared.folder / "vit-ImageClassification"
    status, answer = await ask(runtime, "/v1/images/classify", {"model": "vit", "image": pngs(folder)})
    assert status == 200, answer
    for found, wanted in zip(answer["data"], np.load(folder / "reference.npy"), strict=True):
        scores = {each["label"]: each["score"] for each in found["classes"]}
        assert [scores[label] for label in ("B-A", "B-B", "B-C")] == pytest.approx(wanted.tolist(), abs=1e-4)


async def test_objects_are_found_and_a_picture_that_is_none_is_the_clients_fault(
    runtime: RuntimeProcess, compared: Compared
) -> None:
    body = {"model": "detr", "image": pngs(compared.folder / "vit-ImageClassification"), "threshold": 0}
    status, answer = await ask(runtime, "/v1/images/detect", body)
    assert status == 200, answer
    assert all(found["objects"] for found in answer["data"])
    bad = base64.b64encode(b"no picture").decode()
    status, answer = await ask(runtime, "/v1/images/detect", {**body, "image": [body["image"][0], bad]})
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_image", "image")


async def test_what_is_too_long_or_for_another_model_is_refused(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model="minilm", input="word " * 600)
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError) as other:
        await client.embeddings.create(model="vit", input="word")
    assert other.value.code == "operation_not_supported"
