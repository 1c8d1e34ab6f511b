"""From a Model to what is started: its source found, its file looked at, and what makes a process outdated."""

import os
from pathlib import Path
from typing import Any

import folder_builders
import gguf_builders
import onnx_builders
import pytest
from lying_hub import FakeHub
from lying_registry import LyingRegistry
from model_builders import a_model
from oci_artifacts import make_artifact
from signatures import a_certificate, a_key, an_authority, attach, fingerprint, pem_of, public_pem, sign_files

from berth_api.artifact import EngineType, Format, Task
from berth_api.errors import InvalidSpec, UnsupportedModel
from berth_api.model import Model
from berth_cli.laptop.parts import Preparation
from berth_cli.laptop.prepare import LocalPreparer, local_path, wanted_name
from berth_cli.laptop.view import ModelStage, Transfer
from berth_store.detect import detect
from berth_store.detect.adapter import detect_adapter
from berth_store.errors import QuotaReached, SignatureInvalid, SignatureMissing, SourceNotFound
from berth_store.fetched import fetch_and_hold
from berth_store.local import Store
from berth_store.package import package
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.signing.sign import Signer, sign_artifact
from berth_store.sources.access import SourceAccess

pytestmark = pytest.mark.timeout(60)
PEM = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
OTHER = "sha256:" + "1" * 64


class Machine:
    """A store, a GGUF file, and what preparing reported."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "m.gguf"
        self.file.write_bytes(gguf_builders.llama_gguf())
        self.store = Store(folder / "store")
        self.steps: list[tuple[ModelStage, Transfer | None]] = []
        self.registries = RegistryConfig()

    async def prepare(self, model: Model) -> Preparation:
        def report(step: ModelStage, message: str, transfer: Transfer | None) -> None:
            self.steps.append((step, transfer))

        return await LocalPreparer(self.store, self.registries).prepare(model, report)

    def local_model(self, **spec: object) -> Model:
        return a_model("m", source={"uri": f"file://{self.file}"}, **spec)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_a_file_is_detected_and_launched(machine: Machine) -> None:
    prepared = await machine.prepare(machine.local_model(context_length=64))
    assert (prepared.artifact.format, prepared.artifact.task) == (Format.GGUF, Task.CHAT)
    assert prepared.engine is EngineType.LLAMA_CPP
    launch = prepared.launch(1234)
    assert f"m={machine.file}" in launch.argv
    assert launch.port == 1234
    assert launch.argv[launch.argv.index("--host") + 1] == "127.0.0.1"
    assert [step for step, _ in machine.steps] == [ModelStage.RESOLVING, ModelStage.DETECTING]


async def test_a_packaged_artifact_is_served_from_its_view(machine: Machine) -> None:
    digest = package(machine.store, machine.file, Reference.parse("localhost/m:1"))
    prepared = await machine.prepare(a_model("m", source={"uri": "oci://localhost/m:1"}))
    assert prepared.artifact.digest == digest
    assert f"m={machine.store.view(digest)}" in prepared.launch(1).argv


async def test_what_is_not_here_is_pulled_with_progress(machine: Machine) -> None:
    async with LyingRegistry() as registry:
        artifact = make_artifact({"m.gguf": machine.file.read_bytes()})
        reference = registry.hold("team/m", artifact)
        prepared = await machine.prepare(a_model("m", source={"uri": f"oci://{reference}"}))
        assert prepared.artifact.digest == artifact.digest
        transfers = [transfer for step, transfer in machine.steps if step is ModelStage.PULLING and transfer]
        assert transfers[-1].percent == 100
        asked = len(registry.seen)
        await machine.prepare(a_model("m", source={"uri": f"oci://{reference}"}))
        assert len(registry.seen) == asked


async def test_what_is_served_is_not_freed_for_what_is_pulled(machine: Machine) -> None:
    artifacts = [
        make_artifact({"m.gguf": machine.file.read_bytes(), "seed": bytes([seed]) * 50_000}) for seed in (1, 2)
    ]
    machine.store.quota_bytes = artifacts[0].size_bytes * 3 // 2
    preparer = LocalPreparer(machine.store, machine.registries)
    async with LyingRegistry() as registry:
        served, pulled = (registry.hold(f"team/{seed}", artifact) for seed, artifact in enumerate(artifacts))
        model = a_model("m", source={"uri": f"oci://{served}"})
        await preparer.prepare(model, lambda *_: None)
        await preparer.prepare(model, lambda *_: None)
        with pytest.raises(QuotaReached, match="what is left is served by `berth up`"):
            await fetch_and_hold(machine.store, pulled)
    assert machine.store.view(artifacts[0].digest).is_dir()


async def test_a_signature_is_demanded_of_what_is_here_and_of_what_is_pulled(machine: Machine) -> None:
    signed = {"m.gguf": machine.file.read_bytes()}
    pem = {"signature": {"key": {"pem": public_pem(a_key())}}}
    artifact = make_artifact(signed)
    async with LyingRegistry() as registry:
        reference = registry.hold("team/m", artifact)
        plain = a_model("m", source={"uri": f"oci://{reference}"})
        demanding = a_model("m", source={"uri": f"oci://{reference}", **pem})
        await machine.prepare(plain)
        with pytest.raises(SignatureMissing):
            await machine.prepare(demanding)
        attach(registry, "team/m", artifact, sign_files(signed, a_key()))
        prepared = await machine.prepare(demanding)
        asked = len(registry.seen)
        assert await machine.prepare(demanding)
        assert len(registry.seen) == asked, "what was signed is kept with what is here"
    assert prepared.artifact.signer == f"the key sha256:{fingerprint(a_key())}"
    assert prepared.notes[0] == f"signed by {prepared.artifact.signer}"


async def test_an_authority_in_the_model_may_vouch_for_the_signer(machine: Machine) -> None:
    package(machine.store, machine.file, Reference.parse("localhost/m:1"))
    own = a_certificate("release@example.com", a_key(), "Model Root", a_key(90))
    sign_artifact(machine.store, Reference.parse("localhost/m:1"), Signer(a_key(), (own,)))

    def signed_by(*signers: str) -> Model:
        certificate = {"pem": pem_of(an_authority()), "signers": signers}
        return a_model("m", source={"uri": "oci://localhost/m:1", "signature": {"certificate": certificate}})

    prepared = await machine.prepare(signed_by())
    assert prepared.artifact.signer == "the certificate CN=release@example.com, issued by CN=Model Root"
    assert await machine.prepare(signed_by("release@example.com"))
    with pytest.raises(SignatureInvalid, match="which is nobody's who may"):
        await machine.prepare(signed_by("other@example.com"))


async def test_a_local_name_that_is_missing_may_come_later(machine: Machine) -> None:
    with pytest.raises(SourceNotFound, match="make it with `berth package`"):
        await machine.prepare(a_model("m", source={"uri": "oci://localhost/m:1"}))


async def test_a_pin_decides_over_the_tag(machine: Machine) -> None:
    digest = package(machine.store, machine.file, Reference.parse("localhost/m:1"))
    pinned = a_model("m", source={"uri": "oci://localhost/m:1", "digest": digest})
    assert (await machine.prepare(pinned)).artifact.digest == digest
    with pytest.raises(SourceNotFound):
        await machine.prepare(a_model("m", source={"uri": "oci://localhost/m:1", "digest": OTHER}))


async def test_the_fingerprint_changes_exactly_with_the_launch_and_the_weights(machine: Machine) -> None:
    first = await machine.prepare(machine.local_model())
    assert (await machine.prepare(machine.local_model(aliases=["b"]))).fingerprint == first.fingerprint
    changed = await machine.prepare(machine.local_model(context_length=64))
    os.utime(machine.file, ns=(1, 1))
    rewritten = await machine.prepare(machine.local_model())
    assert len({first.fingerprint, changed.fingerprint, rewritten.fingerprint}) == 3


async def test_an_engine_that_is_named_gets_its_own_format(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(machine.file.read_bytes())
    folder_builders.write_files(folder, {"model.onnx": onnx_builders.encoder_onnx()})
    source = {"uri": f"file://{folder}"}
    prepared = await machine.prepare(a_model("m", source=source, engine={"type": "LlamaCpp"}))
    assert f"m={folder / 'm.gguf'}" in prepared.launch(1).argv


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"uri": "file://models/m.gguf"}, "write the whole path after three slashes"),
        ({"uri": "file:///tmp/m.gguf", "digest": OTHER}, "are not checked against a digest"),
        ({"uri": "file:///tmp/m.gguf", "signature": {"key": {"pem": PEM}}}, "are not held to a signature"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        local_path(a_model("m", source=source).spec.source)


async def test_a_model_of_hugging_face_is_fetched_once_and_launched(machine: Machine) -> None:
    async with FakeHub() as hub:
        hub.hold("org/model", {"m.gguf": gguf_builders.llama_gguf()})
        machine.registries = RegistryConfig(access=SourceAccess.from_environment({"HF_ENDPOINT": hub.address}))
        model = a_model("m", source={"uri": "hf://org/model", "files": ["*.gguf"]})
        prepared = await machine.prepare(model)
        asked = len(hub.seen)
        assert (await machine.prepare(model)).fingerprint == prepared.fingerprint
        assert len(hub.seen) == asked, "what is here is used as it is"
    assert prepared.artifact.digest is not None
    assert prepared.engine is EngineType.LLAMA_CPP


def test_of_files_of_this_machine_nothing_is_chosen() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.source\.files: .* name the file or the folder that is meant"):
        local_path(a_model("m", source={"uri": "file:///tmp", "files": ["*.gguf"]}).spec.source)


def test_a_file_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"there is no file or folder /no such place/m\.gguf"):
        local_path(a_model("m", source={"uri": "file:///no%20such%20place/m.gguf"}).spec.source)


def test_two_pins_that_differ_are_refused() -> None:
    source = {"uri": f"oci://localhost/m@{OTHER}", "digest": "sha256:" + "2" * 64}
    with pytest.raises(InvalidSpec, match="keep one of the two"):
        wanted_name(a_model("m", source=source).spec.source)


async def test_a_file_that_is_no_model_is_refused(machine: Machine) -> None:
    machine.file.write_bytes(b"GGUF" + bytes(10))
    with pytest.raises(UnsupportedModel):
        await machine.prepare(machine.local_model())


LORA = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}
PAIR = (
    gguf_builders.Tensor("blk.0.attn_q.weight.lora_a", (64, 4)),
    gguf_builders.Tensor("blk.0.attn_q.weight.lora_b", (4, 64)),
)


def a_lora(folder: Path, name: str = "sql", **metadata: str) -> Path:
    changed = {key.replace("__", "."): value for key, value in metadata.items()}
    path = folder / f"{name}.gguf"
    path.write_bytes(bytes(gguf_builders.gguf({**LORA, **changed}, PAIR).content))
    return path


def adapters(**paths: object) -> list[dict[str, object]]:
    return [{"name": name, "source": {"uri": str(path)}} for name, path in paths.items()]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detection in this process, which is quicker."""
    monkeypatch.setattr("berth_cli.laptop.prepare.detect_bounded", detect)
    monkeypatch.setattr("berth_cli.laptop.prepare.detect_adapter_bounded", detect_adapter)


@pytest.mark.usefixtures("quick")
async def test_adapters_are_brought_beside_the_model_and_given_to_its_engine(machine: Machine, tmp_path: Path) -> None:
    lora = a_lora(tmp_path)
    digest = package(machine.store, lora, Reference.parse("localhost/poem:1"))
    given = adapters(sql=f"file://{lora}", poem="oci://localhost/poem:1")
    argv = (await machine.prepare(machine.local_model(adapters=given))).launch(1).argv
    found = [argv[index + 1] for index, word in enumerate(argv) if word == "--adapter"]
    assert found == [f"sql={lora}", f"poem={machine.store.view(digest) / 'sql.gguf'}"]


@pytest.mark.usefixtures("quick")
async def test_a_process_is_replaced_exactly_when_its_adapters_change(machine: Machine, tmp_path: Path) -> None:
    lora = a_lora(tmp_path)
    plain = await machine.prepare(machine.local_model())
    first = await machine.prepare(machine.local_model(adapters=adapters(sql=f"file://{lora}")))
    again = await machine.prepare(machine.local_model(adapters=adapters(sql=f"file://{lora}")))
    os.utime(lora, ns=(1, 1))
    rewritten = await machine.prepare(machine.local_model(adapters=adapters(sql=f"file://{lora}")))
    assert first.fingerprint == again.fingerprint
    assert len({plain.fingerprint, first.fingerprint, rewritten.fingerprint}) == 3


@pytest.mark.usefixtures("quick")
async def test_an_adapter_that_does_not_fit_is_told_by_its_field(machine: Machine, tmp_path: Path) -> None:
    other = a_lora(tmp_path, general__architecture="qwen3")
    with pytest.raises(InvalidSpec, match=r"spec\.adapters\[0\]\.source: the adapter sql was made for the arch"):
        await machine.prepare(machine.local_model(adapters=adapters(sql=f"file://{other}")))
    with pytest.raises(UnsupportedModel, match=r"the adapter sql: m\.gguf is no LoRA"):
        await machine.prepare(machine.local_model(adapters=adapters(sql=f"file://{machine.file}")))
    with pytest.raises(UnsupportedModel, match=r"correct spec\.adapters\[0\]\.source\.uri"):
        await machine.prepare(machine.local_model(adapters=adapters(sql="file:///no/such/file.gguf")))


def test_two_pins_of_an_adapter_are_told_by_its_field() -> None:
    source = a_model("m", source={"uri": f"oci://localhost/m@sha256:{'0' * 64}", "digest": OTHER}).spec.source
    with pytest.raises(InvalidSpec) as refused:
        wanted_name(source, "spec.adapters[1].source")
    assert refused.value.errors[0].path.startswith("spec.adapters[1].source")


@pytest.mark.usefixtures("quick")
async def test_a_draft_model_is_brought_and_given_to_the_engine(machine: Machine, tmp_path: Path) -> None:
    small = tmp_path / "small.gguf"
    small.write_bytes(gguf_builders.llama_gguf())
    draft = {"source": {"uri": f"file://{small}"}, "tokens": 8}
    prepared = await machine.prepare(machine.local_model(draft=draft))
    argv = prepared.launch(1).argv
    assert argv[argv.index("--draft") + 1] == str(small)
    os.utime(small, ns=(1, 1))
    assert (await machine.prepare(machine.local_model(draft=draft))).fingerprint != prepared.fingerprint
    lora = a_lora(tmp_path)
    with pytest.raises(UnsupportedModel, match=r"the draft model: sql\.gguf is an adapter"):
        await machine.prepare(machine.local_model(draft={"source": {"uri": f"file://{lora}"}}))
