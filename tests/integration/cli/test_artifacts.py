"""`package`, `push`, `pull`, `list` and `inspect` as commands, against a real registry and one that is slow."""

import json
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import gguf_builders
import pytest
from laptop import Laptop, laptop_in
from lies import stall
from lying_registry import LyingRegistry
from oci_artifacts import make_artifact, random_bytes
from registry import running_registry
from signatures import a_key, fingerprint, private_pem, public_pem

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def laptop() -> AsyncIterator[Laptop]:
    async with laptop_in() as one:
        (one.folder / "m.gguf").write_bytes(gguf_builders.llama_gguf())
        yield one


async def names(laptop: Laptop) -> list[str]:
    return [tag for model in json.loads((await laptop.run("list", "--json")).out) for tag in model["tags"]]


async def test_a_packaged_file_is_listed(laptop: Laptop) -> None:
    packaged = await laptop.run("package", str(laptop.folder / "m.gguf"), "--tag", "localhost/mine:1")
    assert packaged.code == 0, packaged.err
    digest = packaged.out.split()[-1]
    header, row = (await laptop.run("list")).out.splitlines()
    assert header.startswith("MODEL NAME        PARAMETERS")
    assert row.startswith("localhost/mine:1  ")
    assert (await laptop.run("list", "-q")).out == digest.removeprefix("sha256:")[:12] + "\n"


async def test_the_spelling_of_docker_packages_the_same(laptop: Laptop) -> None:
    file = str(laptop.folder / "m.gguf")
    ours = await laptop.run("package", file, "-t", "localhost/a", "--context-length", "128")
    theirs = await laptop.run("package", "--gguf", file, "--context-size", "128", "localhost/b")
    assert ours.out.split()[-1] == theirs.out.split()[-1] != ""
    assert await names(laptop) == ["localhost/a:latest", "localhost/b:latest"]


async def test_either_published_format_is_written(laptop: Laptop) -> None:
    file = str(laptop.folder / "m.gguf")
    docker, modelpack, cncf = [
        await laptop.run("package", file, "-t", f"localhost/{name}", "--format", name)
        for name in ("docker", "modelpack", "cncf")
    ]
    assert modelpack.out.split()[-1] == cncf.out.split()[-1] != docker.out.split()[-1]
    refused = await laptop.run("package", file, "-t", "localhost/x", "--format", "modelpack", "--context-length", "9")
    assert refused.code == 2
    assert "ModelPack has no place for it" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'PATH'"),
        (["m.gguf"], "Missing option '-t' / '--tag'"),
        (["m.gguf", "-t", "localhost/X"], "did you mean 'x'?"),
        (["--gguf", "m.gguf"], "give the artifact one name"),
        (["--gguf", "m.gguf", "a", "-t", "b"], "give the artifact one name"),
        (["--gguf", "m.gguf", "--safetensors-dir", ".", "a"], "exclude each other"),
        (["--gguf", "nothing.gguf", "a"], "does not exist"),
        (["m.gguf", "-t", "localhost/x", "--context-length", "0"], "is not in the range"),
        (["m.gguf", "-t", "localhost/x@sha256:" + "0" * 64], "a digest can't be chosen"),
    ],
)
async def test_a_wrong_command_line_is_explained(laptop: Laptop, arguments: list[str], message: str) -> None:
    given = [str(laptop.folder / part) if part in {"m.gguf", "nothing.gguf"} else part for part in arguments]
    finished = await laptop.run("package", *given)
    assert finished.code == 2
    assert message in finished.err
    assert await names(laptop) == []


async def test_what_is_no_model_is_refused(laptop: Laptop) -> None:
    (laptop.folder / "notes.txt").write_text("no weights")
    finished = await laptop.run("package", str(laptop.folder / "notes.txt"), "-t", "localhost/x")
    assert finished.code == 1
    assert finished.err.startswith("Error: ")
    assert "Traceback" not in finished.err


@pytest.mark.needs("registry")
async def test_a_pushed_artifact_is_pulled_by_another_machine(laptop: Laptop, tmp_path: Path) -> None:
    with running_registry(tmp_path) as registry:
        name = f"{registry.address}/team/mine:1"
        pushed = await laptop.run("package", str(laptop.folder / "m.gguf"), "--tag", name, "--push")
        assert pushed.code == 0, pushed.err
        shutil.rmtree(laptop.home)
        pulled = await laptop.run("pull", name)
        assert pulled.code == 0, pulled.err
        assert pulled.out.splitlines()[-1] == pushed.out.splitlines()[-1]
        assert await names(laptop) == [name]
        missing = await laptop.run("pull", f"{registry.address}/team/nothing")
        assert (missing.code, missing.err[:7]) == (1, "Error: ")


@pytest.mark.needs("registry")
async def test_what_was_pushed_is_inspected_from_afar_as_it_is_here(laptop: Laptop) -> None:
    files = {"key.pem": private_pem(a_key()), "mine.jinja": b"{{ messages }}", "LICENSE": b"free"}
    for name, content in files.items():
        (laptop.folder / name).write_bytes(content)
    key, template, licence, model = (str(laptop.folder / name) for name in (*files, "m.gguf"))
    chosen = ["--license", licence, "--chat-template", template, "--context-length", "128", "--sign-key", key]
    with running_registry(laptop.folder / "registry") as registry:
        name = f"{registry.address}/team/mine:1"
        packaged = await laptop.run("package", model, "--tag", name, *chosen, "--push")
        assert packaged.code == 0, packaged.err
        here, there = (await laptop.run("inspect", name)).out, (await laptop.run("inspect", "--remote", name)).out
    found = json.loads(there)
    assert found == json.loads(here)
    assert found["tags"] == [name]
    assert found["config"]["context_size"] == 128
    assert (found["artifact"]["task"], found["artifact"]["contextLength"]) == ("Chat", 2048)
    assert (found["chatTemplate"], found["licenseFiles"]) == (True, ["LICENSE"])
    assert found["signatures"] == [{"claimedSigner": f"the key sha256:{fingerprint(a_key())}", "verified": False}]
    (listed,) = json.loads((await laptop.run("list", "--json")).out)
    assert listed == {field: found[field] for field in listed}


def partial_bytes(laptop: Laptop) -> int:
    """What lies in the store of blobs that are not whole yet."""
    return sum(path.stat().st_blocks for path in (laptop.home / "store" / "ingest").glob("*.partial"))


async def test_a_pull_that_ctrl_c_ends_says_that_it_goes_on_and_does(laptop: Laptop) -> None:
    async with LyingRegistry() as registry:
        weights = random_bytes(6_000_000)
        reference = registry.hold("team/slow", make_artifact({"m.gguf": weights}))
        registry.always(stall)
        process = laptop.process = await laptop.start("pull", str(reference))
        await laptop.until(lambda: partial_bytes(laptop) > 0)
        process.send_signal(signal.SIGINT)
        await laptop.until(lambda: process.returncode is not None, seconds=20)
        assert process.returncode == 130
        assert "Error: interrupted.\n  What was fetched is kept: `berth pull" in laptop.output
        registry.always(None)
        finished = await laptop.run("pull", str(reference))
        assert finished.code == 0, finished.err
        assert await names(laptop) == [str(reference)]


async def test_a_registry_that_does_not_answer_is_a_sentence(laptop: Laptop) -> None:
    finished = await laptop.run("push", "localhost/mine")
    assert (finished.code, "names on localhost stay on this machine" in finished.err) == (2, True)
    absent = await laptop.run("push", "127.0.0.1:1/mine")
    assert (absent.code, "`berth list` shows" in absent.err) == (1, True)


@pytest.mark.needs("registry")
async def test_what_was_signed_is_pushed_with_its_signature_and_pulled_on_demand(laptop: Laptop) -> None:
    files = {"key.pem": private_pem(a_key()), "pub.pem": public_pem(a_key()), "other.pem": public_pem(a_key(2))}
    for name, content in files.items():
        (laptop.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    key, pub, other = (str(laptop.folder / name) for name in files)
    signer = f"signed by the key sha256:{fingerprint(a_key())}"
    with running_registry(laptop.folder / "registry") as registry:
        name = f"{registry.address}/team/mine:1"
        model = str(laptop.folder / "m.gguf")
        packaged = await laptop.run("package", model, "--tag", name, "--sign-key", key, "--push")
        assert packaged.code == 0, packaged.err
        assert signer in packaged.out
        shutil.rmtree(laptop.home)
        pulled = await laptop.run("pull", name, "--verify-key", pub)
        assert signer in pulled.out
        refused = await laptop.run("pull", name, "--verify-key", other)
    assert refused.code != 0
    assert f"it is signed by the key sha256:{fingerprint(a_key())}" in refused.err
    assert (await laptop.run("push", name, "--sign-certificate", pub)).code == 2
