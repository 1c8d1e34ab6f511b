"""What an artifact is, is said in the same words of each published shape, of this machine's store and from afar."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import tar_builders as t
from gguf_builders import LLAMA_TENSORS, Tensor, gguf, llama_gguf, llama_metadata
from lying_hub import FakeHub
from lying_registry import LyingRegistry
from lying_site import sha256
from lying_web import FakeWeb
from oci_artifacts import Layer, MadeArtifact, make_artifact, make_layers
from published_shapes import DOCKER_CONFIG, ENCODER, SHAPES
from pulls import QUICK
from signatures import a_key, an_authority, attach, chain_material, fingerprint, sign_files

from berth_api.artifact import Task
from berth_api.errors import InvalidSpec, UnsupportedModel
from berth_store import mediatypes
from berth_store.detect import DetectedAdapter, DetectedModel, detect
from berth_store.detect.adapter import detect_adapter
from berth_store.detect.paged import detect_either_paged
from berth_store.errors import DigestMismatch, NoModelInSource, SourceNotFound
from berth_store.inspection import remote
from berth_store.inspection.description import DescribedFile, Description
from berth_store.inspection.remote import inspect_remote
from berth_store.inspection.stored import inspect_stored
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.signing.kept import keep
from berth_store.sources.access import SourceAccess
from berth_store.sources.address import Name, parse_name
from berth_store.sources.identity import stored_digest

pytestmark = pytest.mark.timeout(60)
MIB = 1024 * 1024
NAME = Reference.parse("localhost/mine:1")


def detect_here(path: Path, *_: object, pickles: bool = False) -> DetectedModel | DetectedAdapter:
    """Detection in this process, which is quicker: small files are all there."""
    try:
        return detect(path, pickles=pickles)
    except UnsupportedModel as error:
        try:
            return detect_adapter(path)
        except UnsupportedModel:
            raise error from None


async def detect_there(path: Path, supply: object, *, pickles: bool = False) -> DetectedModel | DetectedAdapter:
    return detect_here(path, pickles=pickles)


@dataclass
class Bench:
    """A registry and a store beside it."""

    registry: LyingRegistry
    store: Store
    folder: Path

    def __post_init__(self) -> None:
        self._count = count()

    def keep(self, artifact: MadeArtifact, name: Name = NAME) -> None:
        with self.store.using():
            for blob in (*artifact.blobs.values(), artifact.manifest):
                self.store.write_blob(blob)
            self.store.tag(name, artifact.digest)

    async def afar(self, name: Name, config: RegistryConfig = QUICK) -> Description:
        scratch = self.folder / f"scratch-{next(self._count)}"
        scratch.mkdir()
        return await inspect_remote(name, registries=config, scratch=scratch)

    async def both(self, artifact: MadeArtifact) -> tuple[Description, Description]:
        reference = self.registry.hold("team/model", artifact)
        self.keep(artifact, reference)
        return inspect_stored(self.store, reference), await self.afar(reference)


@pytest.fixture
async def bench(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("berth_store.inspection.stored.detect_either_bounded", detect_here)
    monkeypatch.setattr(remote, "detect_either_paged", detect_there)
    async with LyingRegistry() as registry:
        yield Bench(registry, store, tmp_path)


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_published_shape_is_described_alike_here_and_from_afar(bench: Bench, shape: str) -> None:
    artifact, expected = SHAPES[shape]
    here, afar = await bench.both(artifact)
    assert here.artifact is not None
    known = {**dict(here), "format": here.artifact.format, "task": here.artifact.task}
    assert {name: known[name] for name in expected} == expected
    assert here.digest == here.artifact.digest == artifact.digest
    assert here.size_bytes == artifact.size_bytes
    without_digests = tuple(
        file if file.media_type else file.model_copy(update={"digest": None}) for file in here.files
    )
    assert afar == here.model_copy(update={"files": without_digests})


async def test_licences_of_the_config_and_of_the_manifests_annotation_are_named_once(bench: Bench) -> None:
    made = make_artifact({"m.gguf": llama_gguf()}, config={"descriptor": {"licenses": ["MIT", 7]}})
    annotations = {"org.opencontainers.image.licenses": "MIT"}
    manifest = json.dumps({**json.loads(made.manifest), "annotations": annotations}).encode()
    here, afar = await bench.both(MadeArtifact(manifest, made.blobs))
    assert here.licenses == afar.licenses == ("MIT",)


async def test_what_lies_in_archives_has_digests_only_where_it_was_unpacked(bench: Bench) -> None:
    here, afar = await bench.both(SHAPES["kitops"][0])
    assert {file.path: file.digest for file in here.files} == {
        path: f"sha256:{sha256(content)}" for path, content in ENCODER.items()
    }
    assert {file.digest for file in afar.files} == {None}
    assert [archive.media_type for archive in afar.archives] == ["application/vnd.kitops.modelkit.model.v1.tar"]
    assert afar.artifact is not None
    assert afar.artifact.size_bytes == afar.size_bytes + sum(map(len, ENCODER.values()))


async def test_the_config_and_the_headers_may_say_different_things(bench: Bench) -> None:
    described, _ = await bench.both(SHAPES["docker v0.1"][0])
    assert described.stated is not None
    assert described.artifact is not None
    assert (described.stated.context_length, described.artifact.context_length) == (512, 2048)
    (listed,) = bench.store.list()
    assert (listed.digest, listed.artifact, listed.created) == (
        described.digest,
        described.stated,
        described.created,
    ), "a list and an inspection say the same"


async def test_all_names_of_an_artifact_are_told_and_its_short_id_leads_to_it(bench: Bench) -> None:
    artifact = make_artifact({"m.gguf": llama_gguf()})
    bench.keep(artifact)
    bench.keep(artifact, Reference.parse("ghcr.io/team/same:2"))
    described = inspect_stored(bench.store, parse_name(artifact.digest.removeprefix("sha256:")[:12]))
    assert described.tags == ("ghcr.io/team/same:2", "localhost/mine:1")
    with pytest.raises(SourceNotFound):
        inspect_stored(bench.store, parse_name("0" * 12))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("localhost/mne:1", r"did you mean `localhost/mine:1`\? Or make it with `berth package`"),
        ("smollm2", "it has localhost/mine:1; fetch it with `berth pull smollm2`, or .* `--remote`"),
        ("hf://org/model", "fetch it with `berth pull hf://org/model"),
    ],
)
def test_a_name_that_is_not_here_says_what_is_and_what_to_do(store: Store, asked: str, said: str) -> None:
    with pytest.raises(SourceNotFound, match="it is empty"):
        inspect_stored(store, parse_name(asked))
    Bench(LyingRegistry(), store, store.root).keep(make_artifact({"m.gguf": b"x"}))
    with pytest.raises(SourceNotFound, match=said):
        inspect_stored(store, parse_name(asked))


def test_of_many_names_some_are_listed(store: Store) -> None:
    bench = Bench(LyingRegistry(), store, store.root)
    for number in range(10):
        bench.keep(make_artifact({"m.gguf": b"x"}), Reference.parse(f"localhost/mine:{number}"))
    with pytest.raises(SourceNotFound, match=r"localhost/mine:7 and 2 more;"):
        inspect_stored(store, parse_name("other"))


async def test_what_can_not_be_served_is_described_with_the_reason(bench: Bench) -> None:
    files = {"pytorch_model.bin": b"\x80\x02}q\x00.", "chat_template.jinja": b"{{ messages }}"}
    here, afar = await bench.both(make_artifact(files))
    assert (here.artifact, here.chat_template) == (None, True)
    assert here.problem is not None
    assert "pickle" in here.problem
    assert str(bench.folder) not in here.problem
    assert afar == here


async def test_a_compressed_archive_that_is_not_small_is_left_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MOST_PACKED_BYTES", 100)
    archive = t.gzipped(t.tar_of({"m.gguf": llama_gguf()}))
    artifact = make_layers([Layer(archive, "application/vnd.cncf.model.weight.v1.tar+gzip")])
    described = await bench.afar(bench.registry.hold("team/model", artifact))
    assert described.problem is not None
    assert "compressed archives" in described.problem
    assert (described.files, described.artifact) == ((), None)
    assert [layer.size_bytes for layer in described.archives] == [len(archive)]
    assert len(bench.registry.spans()) == 1, "the config alone was fetched"


async def test_an_archive_that_means_harm_is_refused(bench: Bench) -> None:
    artifact = make_layers([Layer(t.tar(t.entry("../x", b"x")), "application/vnd.cncf.model.weight.v1.tar")])
    with pytest.raises(NoModelInSource, match="is refused"):
        await bench.both(artifact)
    with pytest.raises(NoModelInSource, match="is refused"):
        await bench.afar(bench.registry.hold("team/model", artifact))


async def test_an_index_of_several_models_lists_them(bench: Bench) -> None:
    entries = [
        {"mediaType": mediatypes.OCI_MANIFEST, "digest": f"sha256:{number:064x}", "size": 1} for number in (1, 2)
    ]
    index = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": entries}
    reference = bench.registry.hold("team/model", MadeArtifact(json.dumps(index).encode(), {}))
    with pytest.raises(NoModelInSource, match="name one by its digest"):
        await bench.afar(reference)


async def test_a_config_that_was_damaged_is_not_believed(bench: Bench) -> None:
    artifact = make_artifact({"m.gguf": llama_gguf()}, config={"config": {"format": "gguf"}})
    reference = bench.registry.hold("team/model", artifact)
    config = next(iter(artifact.blobs))
    bench.registry.blobs[config] = artifact.blobs[config].replace(b"gguf", b"onnx")
    with pytest.raises(DigestMismatch, match="the registry's copy is damaged"):
        await bench.afar(reference)


async def test_a_name_of_this_machine_is_not_looked_for_elsewhere(bench: Bench) -> None:
    with pytest.raises(InvalidSpec, match="this machine's store only"):
        await bench.afar(NAME)


async def test_who_is_said_to_have_signed_is_told_and_not_believed(bench: Bench) -> None:
    files = {"m.gguf": llama_gguf()}
    artifact = make_artifact(files)
    root = an_authority()
    signatures = [sign_files(files, a_key()), sign_files(files, a_key(90), **chain_material(root)), b"no signature"]
    attach(bench.registry, "team/model", artifact, *signatures)
    bench.keep(artifact)
    with bench.store.using():
        keep(bench.store, artifact.digest, signatures)
    here, afar = inspect_stored(bench.store, NAME), await bench.afar(bench.registry.hold("team/model", artifact))
    claimed = [signature.claimed_signer for signature in afar.signatures]
    assert claimed[0] == f"the key sha256:{fingerprint(a_key())}"
    assert str(claimed[1]).startswith("the certificate CN=Model Root")
    assert (claimed[2], str(afar.signatures[2].problem)[:24]) == (None, "the signature is no JSON")
    assert not any(signature.verified for signature in afar.signatures)
    assert sorted(map(str, here.signatures)) == sorted(map(str, afar.signatures))


async def test_a_signature_among_the_files_is_told_too(bench: Bench) -> None:
    files = {"m.gguf": llama_gguf()}
    here, afar = await bench.both(make_artifact({**files, "model.sig": sign_files(files, a_key())}))
    assert [each.claimed_signer for each in here.signatures] == [f"the key sha256:{fingerprint(a_key())}"]
    assert afar == here


async def test_of_a_large_model_less_than_a_hundredth_is_fetched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "detect_either_paged", detect_either_paged)
    large = bytes(gguf(llama_metadata(), [*LLAMA_TENSORS, Tensor("output.weight", (1024, 6 * 1024))]).content)
    artifact = make_artifact({"m.gguf": large, "LICENSE": b"free"}, config=DOCKER_CONFIG)
    described = await bench.afar(bench.registry.hold("team/model", artifact))
    assert (described.weights, described.problem, described.licenses) == (("m.gguf",), None, ("mit",))
    sent = [span.length for span in bench.registry.spans() if span]
    whole = [seen for seen in bench.registry.seen if "/blobs/" in seen.path and seen.span is None]
    assert [seen.path.rpartition("/")[2] for seen in whole] == [next(iter(artifact.blobs))], "the config alone"
    assert sum(sent) < artifact.size_bytes / 100


async def test_a_hubs_model_is_described_as_it_is_once_it_was_pulled(bench: Bench) -> None:
    async with FakeHub() as hub:
        commit = hub.hold("org/encoder", {**ENCODER, "README.md": b"# Model"}).commit
        access = SourceAccess.from_environment({"HF_ENDPOINT": hub.address})
        config = RegistryConfig(connections=QUICK.connections, retry=QUICK.retry, access=access)
        name = parse_name("hf://org/encoder")
        afar = await bench.afar(name, config)
        digest = await pull(bench.store, name, registries=config)
        here = inspect_stored(bench.store, name)
    assert here.digest == digest
    assert here.artifact is not None
    assert here.artifact.digest == stored_digest(bench.store.manifest(digest)), "what a Model may pin"
    assert afar.revision == commit
    assert afar.published_format is None
    assert afar == here.model_copy(update={"revision": commit})


async def test_of_a_web_servers_file_the_digest_is_not_known_before_it_was_read(bench: Bench) -> None:
    async with FakeWeb(files={"/m.gguf": llama_gguf()}) as site:
        described = await bench.afar(parse_name(site.uri("/m.gguf")))
    assert described.digest is None
    assert described.files == (DescribedFile(path="m.gguf", size_bytes=len(llama_gguf())),)
    assert described.artifact is not None
    assert described.artifact.task is Task.CHAT


async def test_of_a_registrys_artifact_some_files_may_be_meant(bench: Bench) -> None:
    artifact = make_artifact({"a.gguf": llama_gguf(), "notes.txt": b"none"})
    reference = bench.registry.hold("team/model", artifact)
    name = parse_name(f"oci://{reference}#*.gguf")
    afar = await bench.afar(name)
    await pull(bench.store, name, registries=QUICK)
    here = inspect_stored(bench.store, name)
    assert [file.path for file in afar.files] == ["a.gguf"]
    assert (afar.artifact is not None, here.artifact is not None) == (True, True)
    assert afar.artifact.digest == artifact.digest, "what a Model may pin, which the store does not know any more"
    assert here.artifact == afar.artifact.model_copy(update={"digest": None})
    assert here == afar.model_copy(update={"artifact": here.artifact})
